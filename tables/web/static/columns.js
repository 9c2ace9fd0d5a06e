// The overview's columns: how each is named, sorted, and shown.

import { marketAddress } from "./address.js";
import { el, setClass, setText, svg } from "./dom.js";
import { feed } from "./feed.js";
import { NONE, age, clock, count, decimals, direction, missingText, multiple, percent, price, share, shortUsd, venueName, windowName } from "./format.js";
import { standing } from "./rules.js";
import { copyAge } from "./shell.js";
import { marketKey } from "./source.js";

const SPARK = { width: 108, height: 26, seconds: 900 };
const digitsSeen = new Map();
const livePoints = new Map();

/** Decimals of a market's prices: the most that were seen. */
export function digitsOf(row, last) {
  const key = marketKey(row);
  const digits = Math.max(digitsSeen.get(key) ?? 0, decimals(last));
  digitsSeen.set(key, digits);
  return digits;
}

/** Everything a row shows, worked out once for sorting and drawing. */
export function view(row, window) {
  const { hello } = feed;
  const values = feed.figures(row, window);
  const [shortest] = hello.windows;
  const two = values.buy_volume_usd + values.sell_volume_usd;
  return {
    row,
    key: marketKey(row),
    window,
    isWhole: feed.isWhole(row, window),
    ...values,
    last: values.last_price,
    distance: values.vwap === 0 ? 0 : (values.last_price / values.vwap - 1) * 100,
    balance: two === 0 ? 0 : (values.buy_volume_usd - values.sell_volume_usd) / two,
    rate: feed.figure(row, shortest, "count") / shortest,
    volumes: hello.windows.map((seconds) => feed.figure(row, seconds, "total_volume_usd")),
    ...standing(row),
    received: row.received ?? row.pane + 1,
  };
}

const text = (className) => () => el("div", { role: "gridcell", class: className });
const number = text("number");

function market(cell, { row }) {
  const [link, venue] = cell.children;
  const address = marketAddress(row.venue, row.symbol);
  if (link.getAttribute("href") !== address) link.href = address;
  setText(link, row.symbol);
  const copied = copyAge(row);
  setText(venue, copied ? `copy, ${copied} · ${venueName(row.venue)}` : venueName(row.venue));
  venue.title = copied ? `Its worker does not answer: a copy from Redis, ${copied} old` : "";
}

function lastPrice(cell, item) {
  const shown = price(item.last, digitsOf(item.row, item.last));
  const before = cell.owner === item.key ? cell.value : undefined;
  setText(cell, shown);
  if (Number.isFinite(before) && Number.isFinite(item.last) && before !== item.last && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
    const name = item.last > before ? "--up-wash" : "--down-wash";
    const colour = getComputedStyle(document.documentElement).getPropertyValue(name);
    cell.animate([{ backgroundColor: colour }, { backgroundColor: "transparent" }], { duration: 700 });
  }
  cell.owner = item.key;
  cell.value = item.last;
}

function makeSpark() {
  const line = svg("polyline", { class: "line" });
  const base = svg("line", { class: "base", x1: 0, x2: SPARK.width });
  return el(
    "div",
    { role: "gridcell", class: "spark" },
    svg("svg", { viewBox: `0 0 ${SPARK.width} ${SPARK.height}`, width: SPARK.width, height: SPARK.height, "aria-hidden": "true" }, base, line),
  );
}

/** Points of a market's sparkline: the server's, then those seen since. */
function sparkPoints(item) {
  const spark = feed.sparks.get(item.key);
  let live = livePoints.get(item.key);
  if (!live || live.spark !== spark) {
    live = { spark, points: (live?.points ?? []).filter(([at]) => !spark || at >= spark.end) };
    livePoints.set(item.key, live);
  }
  const step = spark?.step_seconds ?? 8;
  const slot = Math.floor(item.row.pane / step) * step;
  const tail = live.points.at(-1);
  const isKnown = Number.isFinite(item.last);
  if (isKnown && tail && tail[0] === slot) tail[1] = item.last;
  else if (isKnown && (!tail || tail[0] < slot)) live.points.push([slot, item.last]);
  const points = [];
  if (spark) {
    const start = spark.end - spark.points.length * step;
    spark.points.forEach((value, at) => value && points.push([start + at * step, value]));
  }
  return points.concat(live.points).filter(([at]) => at >= slot - SPARK.seconds);
}

function drawSpark(cell, item) {
  const points = sparkPoints(item);
  const mark = `${item.key}|${points.length}|${points[0]?.[0]}|${item.last}`;
  if (cell.mark === mark || points.length < 2) return;
  cell.mark = mark;
  const [base, line] = cell.firstChild.children;
  const values = points.map(([, value]) => value);
  const low = Math.min(...values);
  const high = Math.max(...values);
  const end = points.at(-1)[0];
  const start = Math.min(points[0][0], end - SPARK.seconds / 6);
  const x = (at) => (((at - start) / (end - start || 1)) * (SPARK.width - 2) + 1).toFixed(1);
  const y = (value) => (SPARK.height - 3 - ((value - low) / (high - low || 1)) * (SPARK.height - 6)).toFixed(1);
  line.setAttribute("points", points.map(([at, value]) => `${x(at)},${y(value)}`).join(" "));
  line.setAttribute("class", values.at(-1) >= values[0] ? "line up" : "line down");
  base.setAttribute("y1", y(values[0]));
  base.setAttribute("y2", y(values[0]));
}

function change(cell, item) {
  const shown = percent(item.price_change_pct);
  setText(cell, shown);
  setClass(cell, `number ${direction(shown)}`);
  dim(cell, item);
}

function volume(cell, item, at, seconds) {
  setText(cell, shortUsd(item.volumes[at]));
  setClass(cell, `number${seconds === item.window ? " volume-current" : ""}`);
  dim(cell, item, seconds);
}

/** Show a figure as one of a window that is not whole: not yet, or since trades are missing. */
function dim(cell, item, seconds = item.window) {
  const isWhole = feed.isWhole(item.row, seconds);
  const missing = feed.missing(item.row, seconds);
  cell.classList.toggle("part", !isWhole);
  cell.classList.toggle("lacking", missing > 0);
  const tip = [isWhole ? "" : `not whole yet: counted since ${clock(item.row.covered_since)} UTC`, missing ? missingText(missing) : ""].filter(Boolean).join("; ");
  if (cell.partTip !== tip) cell.title = cell.partTip = tip;
}

function makeVwap() {
  return el("div", { role: "gridcell", class: "number pair" }, el("span"), el("small"));
}

function vwap(cell, item) {
  const [value, distance] = cell.children;
  setText(value, price(item.vwap, digitsOf(item.row, item.last)));
  const shown = percent(item.distance);
  setText(distance, shown);
  setClass(distance, direction(shown));
  dim(cell, item);
}

function volatility(cell, item) {
  setText(cell, percent(item.realized_volatility * 100, 3).replace("+", ""));
  dim(cell, item);
}

function makeBalance() {
  return el("div", { role: "gridcell", class: "balance" }, el("span", { class: "bar" }, el("i")), el("small"));
}

function balance(cell, item) {
  const [bar, label] = cell.children;
  const share = Math.round((item.balance + 1) * 50);
  bar.firstChild.style.width = `${share || 0}%`;
  setText(label, Number.isNaN(share) ? NONE : `${share}/${100 - share}`);
  dim(cell, item);
}

function makeLiquidations() {
  return el("div", { role: "gridcell", class: "number pair liquidations" }, el("span", { class: "down" }), el("span", { class: "up" }));
}

function liquidations(cell, item) {
  const [longs, shorts] = cell.children;
  const isNone = !item.liquidation_volume_usd;
  setText(longs, item.liquidation_long_usd ? `L ${shortUsd(item.liquidation_long_usd)}` : isNone ? NONE : "");
  setClass(longs, isNone ? "dim" : "down");
  setText(shorts, item.liquidation_short_usd ? `S ${shortUsd(item.liquidation_short_usd)}` : "");
  dim(cell, item);
}

function makeReach() {
  const meter = el("span", { class: "bar" }, el("i"));
  return el("div", { role: "gridcell", class: "reach" }, meter, el("small"), el("b", { class: "badge" }));
}

function reach(cell, item) {
  const [bar, label, badge] = cell.children;
  const { severities } = feed.hello;
  const { furthest: most } = item;
  const part = most?.reach || 0;
  bar.firstChild.style.width = `${Math.min(100, part * 100).toFixed(1)}%`;
  setClass(bar, `bar ${most?.step ? severities[most.step - 1] : part >= 0.7 ? "near" : ""}`);
  setText(label, !most ? NONE : most.step > 1 ? multiple(most.measured, most.threshold) : share(most.measured, most.threshold, part < 0.1 ? 1 : 0));
  setText(badge, item.level ? severities[item.level - 1] : "");
  setClass(badge, `badge ${item.level ? severities[item.level - 1] : ""}`);
  if (cell.tip !== item.tip) cell.title = cell.tip = item.tip;
}

/** The columns for these windows. `value` sorts; `first` says which way a first click sorts: 1 up, -1 down. */
export function makeColumns(windows) {
  return [
    { id: "market", title: "Market", align: "market", first: 1, value: (item) => item.row.symbol, make: () => el("div", { role: "gridcell", class: "market" }, el("a", { tabIndex: -1 }), el("small")), fill: market },
    { id: "last", title: "Last", first: -1, value: (item) => item.last, make: number, fill: lastPrice },
    { id: "spark", title: "15 min", align: "start", make: makeSpark, fill: drawSpark },
    { id: "change", title: "Change", first: -1, value: (item) => item.price_change_pct, make: number, fill: change },
    ...windows.map((seconds, at) => ({
      id: `volume${seconds}`, title: `Vol ${windowName(seconds)}`, hint: `Volume in USD, last ${windowName(seconds)}`, first: -1, isVolume: true, seconds,
      value: (item) => item.volumes[at], make: number, fill: (cell, item) => volume(cell, item, at, seconds),
    })),
    { id: "vwap", title: "VWAP", hint: "Volume-weighted average price, and the last price's distance from it", first: -1, value: (item) => item.distance, make: makeVwap, fill: vwap },
    { id: "volatility", title: "Volat.", hint: "Realized volatility over the window, not annualised", first: -1, value: (item) => item.realized_volatility, make: number, fill: volatility },
    { id: "balance", title: "Buy/sell", align: "center", hint: "Share of taker buys and sells in the volume, per cent", first: -1, value: (item) => item.balance, make: makeBalance, fill: balance },
    { id: "liquidated", title: "Liquidated", hint: "Longs (L) and shorts (S) liquidated, USD; of markets with liquidation labels", first: -1, value: (item) => item.liquidation_volume_usd, make: makeLiquidations, fill: liquidations },
    { id: "rate", title: "Trades/s", hint: `Trades a second over ${windowName(windows[0])}`, first: -1, value: (item) => item.rate, make: number, fill: (cell, item) => setText(cell, item.rate < 10 ? item.rate.toFixed(1) : count(item.rate)) },
    { id: "reach", title: "Threshold", align: "start", hint: "How much of a threshold the rules' window has reached, of the rule that is furthest along, and the open episode", first: -1, value: (item) => item.level * 1e6 + (item.furthest?.reach ?? 0), make: makeReach, fill: reach },
    { id: "age", title: "Age", hint: "Since the last trade", first: 1, value: (item) => -item.received, make: number, fill: (cell, item) => setText(cell, age(feed.now() - item.received)) },
  ];
}
