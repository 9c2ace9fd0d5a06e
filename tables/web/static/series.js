// Panes as columns for charts: buckets, rolling sums, and the band around the average price. No drawing.

/** Seconds in one point of a chart of this window: at most 300 points, of which each has some pixels. */
export function bucketSeconds(window) {
  return Math.max(1, Math.ceil(window / 300));
}

/** Figures that take more than the panes' own; what the worker says of the others is enough. */
const DERIVED = { price_change_pct: (rolling) => rolling.change() };

/** How figures of panes make the figure of all of them. Sums are kept up to date, the others are looked up anew. */
const COMBINED = {
  sum: (rolling, name) => rolling.sums[name],
  max: (rolling, name) => Math.max(0, ...rolling.prices(name)),
  min: (rolling, name) => Math.min(...rolling.prices(name)),
  first: (rolling, name) => rolling.prices(name)[0] ?? 0,
  last: (rolling, name) => rolling.prices(name).at(-1) ?? 0,
};

/** Whether a figure, as the worker lists it, can be drawn from panes. */
export const isDrawn = (figure) => Boolean(figure && (figure.name in DERIVED || figure.combined in COMBINED));

/**
 * Columns of a chart from `start` to `end` (unix seconds), from panes in time order.
 *
 * VWAP and its band (one volume-weighted standard deviation) roll over `window` seconds; `measured` has the size of each
 * of `figures` (as the worker lists them, each drawn) over `ruleWindow`. Panes before `start` are what the first points'
 * windows reach back to.
 */
export function columnsOf(panes, { start, end, window, ruleWindow, figures }) {
  const step = bucketSeconds(window);
  const columns = { time: [], last: [], vwap: [], upper: [], lower: [], buy: [], sell: [], longs: [], shorts: [] };
  columns.measured = Object.fromEntries(figures.map(({ name }) => [name, []]));
  const average = new Rolling(window, panes);
  const judged = new Rolling(ruleWindow, panes, figures.filter(({ combined }) => combined === "sum").map(({ name }) => name));
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
    for (const { name, combined } of figures) columns.measured[name].push(Math.abs((DERIVED[name] ?? COMBINED[combined])(judged, name)));
  }
  return columns;
}

const NOTHING = { quantity: 0, first: 0, second: 0 };

/** Figures over the last so many seconds, moved forward in time; `summed` are names of those to add up. */
class Rolling {
  constructor(seconds, panes, summed = []) {
    Object.assign(this, { seconds, panes, summed, head: 0, tail: 0 });
    this.empty();
    // Squares of prices lose their digits; distances from the first price do not.
    this.origin = panes.find((pane) => pane.vwap)?.vwap ?? 0;
  }

  /** Begin again without what rounding left. */
  empty() {
    Object.assign(this, NOTHING);
    this.sums = Object.fromEntries(this.summed.map((name) => [name, 0]));
  }

  add(pane, sign) {
    for (const name of this.summed) this.sums[name] += sign * (pane[name] ?? NaN);
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
    if (this.tail === this.head) this.empty();
  }

  /** The average price and its deviation. */
  band() {
    if (!(this.quantity > 0)) return { mean: null, deviation: 0 };
    const mean = this.first / this.quantity;
    const variance = Math.max(0, this.second / this.quantity - mean * mean);
    return { mean: this.origin + mean, deviation: Math.sqrt(variance) };
  }

  /** A figure of each pane with a trade, oldest first: panes of blocks alone have no price. */
  prices(name) {
    return this.panes.slice(this.tail, this.head).filter((pane) => pane.count).map((pane) => pane[name]);
  }

  /** How far the price moved, per cent. */
  change() {
    let { tail, head } = this;
    while (tail < head && !this.panes[tail].count) tail++;
    while (head > tail && !this.panes[head - 1].count) head--;
    return tail < head ? (this.panes[head - 1].last_price / this.panes[tail].first_price - 1) * 100 : 0;
  }
}
