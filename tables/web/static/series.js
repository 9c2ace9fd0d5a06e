// Panes as columns for charts: buckets, rolling sums, and the band around the average price. No drawing.

/** Seconds in one point of a chart of this window. */
export function bucketSeconds(window) {
  return Math.max(1, Math.ceil(window / 300));
}

/**
 * Columns of a chart from `start` to `end` (unix seconds), from panes in time order.
 *
 * VWAP and its band (one volume-weighted standard deviation) roll over `window` seconds; `amount` sums what the rule
 * looks at over `ruleWindow`. Panes before `start` are what the first points' windows reach back to.
 */
export function columnsOf(panes, { start, end, window, ruleWindow, rule }) {
  const step = bucketSeconds(window);
  const columns = { time: [], last: [], vwap: [], upper: [], lower: [], buy: [], sell: [], longs: [], shorts: [], amount: [] };
  const average = new Rolling(window, panes);
  const judged = new Rolling(ruleWindow, panes);
  let at = panes.findIndex((pane) => pane.pane >= start);
  if (at < 0) at = panes.length;
  let last = at > 0 ? panes[at - 1].last_price || null : null;
  const newest = panes.at(-1)?.pane ?? end;
  for (let time = Math.floor(start / step) * step; time < end && time <= newest; time += step) {
    let buy = 0, sell = 0, longs = 0, shorts = 0;
    for (; at < panes.length && panes[at].pane < time + step; at++) {
      const pane = panes[at];
      if (pane.last_price) last = pane.last_price;
      buy += pane.buy_volume_usd;
      sell += pane.total_volume_usd - pane.buy_volume_usd;
      longs += pane.liquidation_long_usd;
      shorts += pane.liquidation_short_usd;
    }
    const edge = Math.min(time + step, newest + 1);
    const { mean, deviation } = average.until(edge);
    const sums = judged.until(edge);
    columns.time.push(time);
    columns.last.push(last);
    columns.vwap.push(mean);
    columns.upper.push(mean === null ? null : mean + deviation);
    columns.lower.push(mean === null ? null : mean - deviation);
    columns.buy.push(buy);
    columns.sell.push(-sell);
    columns.shorts.push(shorts);
    columns.longs.push(-longs);
    columns.amount.push(rule === "liquidation" ? sums.liquidated : sums.volume);
  }
  return columns;
}

/** Sums over the last so many seconds, moved forward in time. */
class Rolling {
  constructor(seconds, panes) {
    Object.assign(this, { seconds, panes, head: 0, tail: 0, volume: 0, liquidated: 0, quantity: 0, first: 0, second: 0 });
    // Squares of prices lose their digits; distances from the first price do not.
    this.origin = panes.find((pane) => pane.vwap)?.vwap ?? 0;
  }

  add(pane, sign) {
    this.volume += sign * pane.total_volume_usd;
    this.liquidated += sign * (pane.liquidation_long_usd + pane.liquidation_short_usd);
    if (!pane.vwap) return;
    const quantity = sign * (pane.total_volume_usd / pane.vwap);
    const distance = pane.vwap - this.origin;
    this.quantity += quantity;
    this.first += quantity * distance;
    this.second += quantity * distance * distance;
  }

  until(end) {
    const { panes } = this;
    while (this.head < panes.length && panes[this.head].pane < end) this.add(panes[this.head++], 1);
    while (this.tail < this.head && panes[this.tail].pane < end - this.seconds) this.add(panes[this.tail++], -1);
    if (this.tail === this.head) Object.assign(this, { volume: 0, liquidated: 0, quantity: 0, first: 0, second: 0 });
    if (!(this.quantity > 0)) return { mean: null, deviation: 0, volume: this.volume, liquidated: this.liquidated };
    const mean = this.first / this.quantity;
    const variance = Math.max(0, this.second / this.quantity - mean * mean);
    return { mean: this.origin + mean, deviation: Math.sqrt(variance), volume: this.volume, liquidated: this.liquidated };
  }
}
