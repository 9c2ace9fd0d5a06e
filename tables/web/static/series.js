// Panes as columns for charts: buckets, rolling sums, and the band around the average price. No drawing.

/** Seconds in one point of a chart of this window. */
export function bucketSeconds(window) {
  return Math.max(1, Math.ceil(window / 300));
}

/** Figures that can be drawn from panes: each from what a window's panes add up to. */
const FIGURES = {
  count: (sums) => sums.count,
  total_volume_usd: (sums) => sums.volume,
  buy_volume_usd: (sums) => sums.bought,
  sell_volume_usd: (sums) => sums.sold,
  liquidation_volume_usd: (sums) => sums.longs + sums.shorts,
  liquidation_long_usd: (sums) => sums.longs,
  liquidation_short_usd: (sums) => sums.shorts,
  price_change_pct: (sums) => sums.change(),
};

/** Whether a figure can be drawn. */
export const isDrawn = (figure) => figure in FIGURES;

/**
 * Columns of a chart from `start` to `end` (unix seconds), from panes in time order.
 *
 * VWAP and its band (one volume-weighted standard deviation) roll over `window` seconds; `measured` has the size of each
 * of `figures` over `ruleWindow`. Panes before `start` are what the first points' windows reach back to.
 */
export function columnsOf(panes, { start, end, window, ruleWindow, figures }) {
  const step = bucketSeconds(window);
  const columns = { time: [], last: [], vwap: [], upper: [], lower: [], buy: [], sell: [], longs: [], shorts: [] };
  columns.measured = Object.fromEntries(figures.map((figure) => [figure, []]));
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
    average.until(edge);
    judged.until(edge);
    const { mean, deviation } = average.band();
    columns.time.push(time);
    columns.last.push(last);
    columns.vwap.push(mean);
    columns.upper.push(mean === null ? null : mean + deviation);
    columns.lower.push(mean === null ? null : mean - deviation);
    columns.buy.push(buy);
    columns.sell.push(-sell);
    columns.shorts.push(shorts);
    columns.longs.push(-longs);
    for (const figure of figures) columns.measured[figure].push(Math.abs(FIGURES[figure](judged)));
  }
  return columns;
}

const NOTHING = { count: 0, volume: 0, bought: 0, sold: 0, longs: 0, shorts: 0, quantity: 0, first: 0, second: 0 };

/** Sums over the last so many seconds, moved forward in time. */
class Rolling {
  constructor(seconds, panes) {
    Object.assign(this, NOTHING, { seconds, panes, head: 0, tail: 0 });
    // Squares of prices lose their digits; distances from the first price do not.
    this.origin = panes.find((pane) => pane.vwap)?.vwap ?? 0;
  }

  add(pane, sign) {
    this.count += sign * pane.count;
    this.volume += sign * pane.total_volume_usd;
    this.bought += sign * pane.buy_volume_usd;
    this.sold += sign * pane.sell_volume_usd;
    this.longs += sign * pane.liquidation_long_usd;
    this.shorts += sign * pane.liquidation_short_usd;
    if (!pane.vwap) return;
    const quantity = sign * (pane.total_volume_usd / pane.vwap);
    const distance = pane.vwap - this.origin;
    this.quantity += quantity;
    this.first += quantity * distance;
    this.second += quantity * distance * distance;
  }

  /** Move to the panes before `end`. */
  until(end) {
    const { panes } = this;
    while (this.head < panes.length && panes[this.head].pane < end) this.add(panes[this.head++], 1);
    while (this.tail < this.head && panes[this.tail].pane < end - this.seconds) this.add(panes[this.tail++], -1);
    if (this.tail === this.head) Object.assign(this, NOTHING);
  }

  /** The average price and its deviation. */
  band() {
    if (!(this.quantity > 0)) return { mean: null, deviation: 0 };
    const mean = this.first / this.quantity;
    const variance = Math.max(0, this.second / this.quantity - mean * mean);
    return { mean: this.origin + mean, deviation: Math.sqrt(variance) };
  }

  /** How far the price moved, per cent. */
  change() {
    // Panes of blocks alone have no price.
    let { tail, head } = this;
    while (tail < head && !this.panes[tail].count) tail++;
    while (head > tail && !this.panes[head - 1].count) head--;
    return tail < head ? (this.panes[head - 1].last_price / this.panes[tail].first_price - 1) * 100 : 0;
  }
}
