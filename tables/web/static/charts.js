// The charts of a market: price, volume by pane, and what each rule measures against its threshold.

import uPlot from "./vendor/uPlot.esm.js";
import { byId, el, setText } from "./dom.js";
import { capital, clock, dateTime, inUnit, price, shortUsd, tickInUnit, windowName } from "./format.js";

// Pixels. Price, volume and two rules fit on a desk's screen; the axis holds a price of nine digits.
const PRICE_HEIGHT = 300;
const HEIGHT = 150;
const AXIS_WIDTH = 74;
// On a phone a pane is narrower than a pixel; its bar must still be seen.
const LEAST_BAR = 1.5;
// Names of thresholds that would be written over each other are left out, the lower ones first.
const LABEL_HEIGHT = 12;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/**
 * Draws columns of `columnsOf`. `marks` are alerts (time, severity, whether retracted), `judgements` the rules that can be
 * drawn, `severities` the names of their steps, lowest first.
 */
export class Charts {
  constructor(readout, severities) {
    this.readout = readout;
    this.severities = severities;
    this.marks = [];
    this.judgements = [];
    this.digits = 2;
    this.make();
    addEventListener("themechange", () => {
      this.make();
      if (this.columns) this.draw(this.columns, this.range);
    });
    new ResizeObserver(() => this.resize()).observe(byId("charts"));
  }

  make() {
    for (const chart of this.all ?? []) chart.destroy();
    const isLast = this.judgements.length === 0;
    this.price = this.plot(byId("price-chart"), PRICE_HEIGHT, [
      { label: "high of band", stroke: "transparent", points: { show: false } },
      { label: "low of band", stroke: "transparent", points: { show: false } },
      { label: "VWAP", stroke: colour("--medium"), width: 1.5, dash: [5, 4], points: { show: false } },
      { label: "price", stroke: colour("--link"), width: 1.6, points: { show: false } },
    ], {
      bands: [{ series: [1, 2], fill: this.wash("--medium", 12) }],
      values: (_, ticks) => ticks.map((tick) => price(tick, this.digits)),
      hooks: { draw: [(chart) => this.drawMarks(chart)] },
    });
    const bars = (fill, share) => ({ stroke: "transparent", width: 0, fill, paths: uPlot.paths.bars({ size: [share, 100, LEAST_BAR], gap: 0 }), points: { show: false } });
    this.volume = this.plot(byId("volume"), HEIGHT, [
      { label: "bought", ...bars(this.wash("--up-bar", 60), 0.9) },
      { label: "sold", ...bars(this.wash("--down-bar", 60), 0.9) },
      { label: "shorts liquidated", ...bars(colour("--up"), 0.9) },
      { label: "longs liquidated", ...bars(colour("--down"), 0.9) },
    ], { values: (_, ticks) => ticks.map((tick) => shortUsd(Math.abs(tick))), isLast });
    this.rules = this.judgements.map((one, at) => this.makeRule(one.unit, at));
    this.all = [this.price, this.volume, ...this.rules];
  }

  makeRule(unit, at) {
    const steps = () => this.judgements[at].steps;
    return this.plot(byId("rules").children[at].lastChild, HEIGHT, [
      { label: "measured", stroke: colour("--link"), width: 1.6, fill: this.wash("--link", 12), points: { show: false } },
    ], {
      range: (_, low, high) => [0, Math.max(high, steps()[0]) * 1.15 || 1],
      values: (_, ticks) => ticks.map((tick) => tickInUnit(unit, tick)),
      hooks: { draw: [(chart) => this.drawSteps(chart, unit, steps())] },
      isLast: at === this.judgements.length - 1,
    });
  }

  /** Have a chart for each rule, over the window that it judges. */
  setRules(judgements) {
    const shown = (rules) => rules.map(({ rule, unit, window_seconds }) => `${rule} ${unit} ${window_seconds}`).join();
    const before = shown(this.judgements);
    this.judgements = judgements;
    if (shown(judgements) === before) return;
    const title = ({ label, window_seconds }) => `${capital(label)} in ${windowName(window_seconds)} against the threshold `;
    byId("rules").replaceChildren(
      ...judgements.map((one) => el("div", { class: "chart", "data-rule": one.rule }, el("h3", {}, title(one), el("span", { class: "readout" })), el("div"))),
    );
    // What was drawn lacks what the new rules measure.
    this.columns = null;
    this.make();
  }

  plot(node, height, series, { bands, range, values, hooks = {}, isLast = false }) {
    const line = { stroke: colour("--line"), width: 1 };
    const axis = { stroke: colour("--dim"), grid: line, ticks: line, font: "11px system-ui, sans-serif" };
    const options = {
      width: Math.max(200, node.clientWidth),
      height,
      legend: { show: false },
      bands,
      cursor: { sync: { key: "market" }, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { time: true }, y: range ? { range } : {} },
      series: [{}, ...series],
      axes: [
        { ...axis, show: isLast, values: (_, ticks) => ticks.map((tick) => clock(tick)), space: 64, size: 28 },
        { ...axis, size: AXIS_WIDTH, values },
      ],
      padding: [8, 28, isLast ? 0 : 4, 0],
      hooks: { ...hooks, setCursor: [(chart) => this.tell(chart)] },
    };
    return new uPlot(options, [[], ...series.map(() => [])], node);
  }

  wash(name, share) {
    return `color-mix(in srgb, ${colour(name)} ${share}%, transparent)`;
  }

  resize() {
    for (const chart of this.all) {
      const width = chart.root.parentElement.clientWidth;
      if (width > 0 && width !== chart.width) chart.setSize({ width, height: chart.height });
    }
  }

  draw(columns, [start, end]) {
    this.columns = columns;
    this.range = [start, end];
    const { time, upper, lower, vwap, last, buy, sell, shorts, longs, measured } = columns;
    const data = [[time, upper, lower, vwap, last], [time, buy, sell, shorts, longs], ...this.judgements.map(({ figure }) => [time, measured[figure.name]])];
    this.all.forEach((chart, at) => {
      chart.batch(() => {
        chart.setData(data[at], true);
        chart.setScale("x", { min: start, max: end });
      });
    });
    this.tell(this.price);
  }

  drawMarks(chart) {
    const { ctx, bbox } = chart;
    const [start, end] = this.range ?? [0, 0];
    ctx.save();
    ctx.lineWidth = devicePixelRatio;
    for (const { time, severity, retracted } of this.marks) {
      if (time < start || time > end) continue;
      const x = Math.round(chart.valToPos(time, "x", true));
      ctx.strokeStyle = ctx.fillStyle = colour(retracted ? "--dim" : `--${severity.toLowerCase()}`);
      ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const size = 5 * devicePixelRatio;
      ctx.beginPath();
      ctx.moveTo(x - size, bbox.top);
      ctx.lineTo(x + size, bbox.top);
      ctx.lineTo(x, bbox.top + size * 1.6);
      ctx.fill();
    }
    ctx.restore();
  }

  drawSteps(chart, unit, steps) {
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
    let labelled = -Infinity;
    [...steps.entries()].reverse().forEach(([at, least]) => {
      const y = Math.round(chart.valToPos(least, "y", true));
      if (y < bbox.top + 2 || y > bbox.top + bbox.height) return;
      const name = this.severities[at];
      ctx.strokeStyle = ctx.fillStyle = colour(`--${name.toLowerCase()}`);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      if (y - labelled < LABEL_HEIGHT * devicePixelRatio) return;
      labelled = y;
      ctx.fillText(`${name} ${inUnit(unit, least)}`, bbox.left + 6 * devicePixelRatio, y - 4 * devicePixelRatio);
    });
    ctx.restore();
  }

  /** Say what is under the cursor, or the newest point. */
  tell(chart) {
    const { columns } = this;
    if (!columns?.time.length) return;
    const at = chart.cursor.idx ?? columns.time.length - 1;
    if (at >= columns.time.length) return;
    this.readout({
      time: dateTime(columns.time[at]),
      last: price(columns.last[at], this.digits),
      vwap: price(columns.vwap[at], this.digits),
      buy: columns.buy[at],
      sell: -columns.sell[at],
      longs: -columns.longs[at],
      shorts: columns.shorts[at],
    });
    this.judgements.forEach(({ unit, figure }, number) => {
      setText(byId("rules").children[number].firstChild.lastChild, inUnit(unit, columns.measured[figure.name][at]));
    });
  }
}
