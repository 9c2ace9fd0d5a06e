// One market: price with its average, volume by pane, each rule against its threshold, and the panes themselves.

import { at as address, marketAddress } from "./address.js";
import { Charts } from "./charts.js";
import { digitsOf } from "./columns.js";
import { byId, el, setClass, setText } from "./dom.js";
import { feed } from "./feed.js";
import { NONE, capital, clock, count, dateTime, direction, host, inFull, missingText, percent, price, share, shortUsd, usd, venueName, windowName } from "./format.js";
import { PaneTable } from "./panes.js";
import { alertSentence, progress, severityClass, standing } from "./rules.js";
import { finds } from "./search.js";
import { columnsOf, isDrawn } from "./series.js";
import { copyAge, rowAge, startPage } from "./shell.js";
import { alertKey } from "./source.js";

// Late trades may still change panes as old as this; all of them are read again now and then.
const OVERLAP_SECONDS = 15;
const RELOAD_MS = 60_000;
// A window shown around a moment has this much of it before the moment.
const BEFORE_SHARE = 0.7;
const LEAST_SECONDS = 60;

// What the page has a place for. Every other figure of the worker is listed behind those.
const PLACED = new Set([
  "count", "total_volume_usd", "buy_volume_usd", "sell_volume_usd", "liquidation_volume_usd", "liquidation_long_usd", "liquidation_short_usd",
  "largest_trade_usd", "vwap", "price_change_pct", "realized_volatility", "first_price", "last_price", "high", "low",
]);

const query = new URLSearchParams(location.search);
const venue = query.get("venue") ?? "";
const symbol = query.get("symbol") ?? "";
const key = `${venue}|${symbol}`;

const state = { window: 0, at: Number(query.get("at")) || null, panes: new Map(), info: null, reloadedAt: 0, alerts: new Map(), isBusy: false, polledAt: 0, seen: -1 };
let charts = null;
let table = null;

async function ask(path, parameters) {
  const answer = await fetch(address(`${path}?${new URLSearchParams(parameters)}`));
  if (answer.status === 401) location.assign(address("login"));
  const body = await answer.json().catch(() => ({ error: answer.statusText }));
  if (!answer.ok) throw Object.assign(new Error(body.error ?? answer.statusText), { status: answer.status });
  return body;
}

/** Read panes: the newest ones, or all that the charts need. */
async function load({ all = false } = {}) {
  if (state.isBusy || !feed.hello) return;
  state.isBusy = true;
  const now = performance.now();
  const isFull = all || !state.info || now - state.reloadedAt > RELOAD_MS;
  state.polledAt = now;
  try {
    const reach = state.window + ruleWindow() + 60;
    const newest = state.info?.newest_pane ?? feed.rows.get(key)?.pane ?? feed.now();
    const since = (pane) => Math.max(0, Math.floor(isFull ? Math.min(pane, state.at ?? pane) - reach : pane - OVERLAP_SECONDS));
    const asked = (pane) => ask("api/panes", { venue, symbol, from: since(pane) });
    let answer = await asked(newest);
    // Before its row has come nobody knows where the market's clock is: that of a quiet one stands far behind.
    if (isFull && since(answer.newest_pane) < since(newest)) answer = await asked(answer.newest_pane);
    if (isFull) {
      state.panes.clear();
      state.reloadedAt = now;
    }
    for (const pane of answer.rows) {
      const known = state.panes.get(pane.pane);
      // The first pane of a short answer cannot know what is missing before it.
      if (known && !isFull && pane === answer.rows[0]) pane.gaps = known.gaps;
      state.panes.set(pane.pane, pane);
    }
    state.info = answer;
    forget(answer.newest_pane);
    showUnknown(null);
    say(answer.source === "store" ? `${host(answer.owner) || "The owner"} does not answer; panes as it last stored them` : "");
    draw();
  } catch (error) {
    if (error.status === 404 || error.status === 400) showUnknown(error.message);
    else say(error.message);
  } finally {
    state.isBusy = false;
  }
}

function forget(newest) {
  const reach = state.window + ruleWindow() + 60;
  const oldest = Math.min(newest, state.at ?? newest) - reach;
  for (const pane of state.panes.keys()) if (pane < oldest) state.panes.delete(pane);
}

async function loadAlerts() {
  try {
    const since = Math.max(0, Math.floor((state.at ?? feed.now()) - 86_400));
    for (const alert of await ask("api/alerts", { venue, symbol, from: since, limit: 200 })) state.alerts.set(alertKey(alert), alert);
  } catch (error) {
    setText(byId("alerts-note"), error.message);
  }
  drawAlerts();
}

function say(text) {
  setText(byId("problem"), text);
  byId("problem").hidden = !text;
}

/** The length of the window that the market's owner judges. */
const ruleWindow = () => (feed.rows.has(key) && standing(feed.rows.get(key)).judgements[0]?.window_seconds) || feed.hello.rule_window;

/** Say that there is no such market, in place of everything that would be empty; with null show the market. */
function showUnknown(reason) {
  document.querySelector("main").classList.toggle("without", reason !== null);
  const box = byId("unknown");
  box.hidden = reason === null;
  if (reason === null) return;
  say(`${capital(reason)}: ${symbol || "no symbol"} of ${venueName(venue) || "no venue"}.`);
  const alike = [...feed.rows.values()].filter((row) => row.symbol === symbol || (symbol && finds(symbol, row))).slice(0, 8);
  const links = alike.flatMap((row) => [el("a", { href: marketAddress(row.venue, row.symbol) }, `${row.symbol} (${venueName(row.venue)})`), " "]);
  box.replaceChildren(
    el("p", {}, "No trade of it has come yet. It is shown here as soon as one does."),
    ...(links.length ? [el("p", {}, "Alike: ", ...links)] : []),
    el("p", {}, el("a", { href: address("") }, "All markets")),
  );
}

function range() {
  const newest = (state.info?.newest_pane ?? 0) + 1;
  if (!state.at) {
    // A market that began to trade just now would be a thin line at the edge.
    const oldest = Math.min(...state.panes.keys());
    return [Math.max(newest - state.window, Math.min(oldest, newest - LEAST_SECONDS)), newest];
  }
  const start = state.at - Math.round(state.window * BEFORE_SHARE);
  return [start, start + state.window];
}

function draw() {
  const row = feed.rows.get(key);
  const panes = [...state.panes.values()].sort((a, b) => a.pane - b.pane);
  const [start, end] = range();
  const digits = panes.length ? Math.max(...panes.slice(-50).map((pane) => digitsOf({ venue, symbol }, pane.last_price))) : 2;
  charts.digits = table.digits = digits;
  const judgements = row ? standing(row).judgements.filter(({ figure }) => isDrawn(figure)) : [];
  charts.setRules(judgements);
  charts.marks = [...state.alerts.values()].map((alert) => ({ time: alert.pane, severity: alert.alert_severity, retracted: alert.retracted }));
  charts.draw(columnsOf(panes, { start, end, window: state.window, ruleWindow: ruleWindow(), figures: judgements.map(({ figure }) => figure) }), [start, end]);
  table.show(panes.filter((pane) => pane.pane >= start && pane.pane < end));
  const { info } = state;
  const isGone = Boolean(state.at && info && state.at < info.oldest_pane);
  byId("gone").hidden = !isGone;
  byId("live").hidden = !state.at;
  byId("csv").href = address(`api/panes?${new URLSearchParams({ venue, symbol, from: start, to: end, format: "csv" })}`);
}

function drawFacts() {
  const row = feed.rows.get(key);
  if (!row || !feed.hello) return;
  const values = feed.figures(row, state.window);
  const digits = digitsOf(row, values.last_price);
  setText(byId("price"), price(values.last_price, digits));
  const change = percent(values.price_change_pct);
  setText(byId("change"), `${change} in ${windowName(state.window)}`);
  setClass(byId("change"), direction(change));
  drawEpisode(row);
  drawRules(row);
  const rate = feed.figure(row, feed.hello.windows[0], "count") / feed.hello.windows[0];
  const facts = {
    volume: usd(values.total_volume_usd), trades: `${count(values.count)} (${Number.isNaN(rate) ? NONE : rate.toFixed(1)}/s)`, vwap: price(values.vwap, digits),
    distance: percent((values.last_price / values.vwap - 1) * 100, 3),
    volatility: percent(values.realized_volatility * 100, 3).replace("+", ""), balance: `$${shortUsd(values.buy_volume_usd)} / $${shortUsd(values.sell_volume_usd)}`,
    liquidated: `$${shortUsd(values.liquidation_long_usd)} / $${shortUsd(values.liquidation_short_usd)}`, largest: usd(values.largest_trade_usd),
    range: `${price(values.high, digits)} / ${price(values.low, digits)}`,
    age: rowAge(row), newest: clock(row.pane), owner: ownerOf(row), partition: `${row.partition} / ${count(row.offset)}`,
  };
  for (const [name, text] of Object.entries(facts)) setText(byId(`fact-${name}`), text);
  drawFurther(values);
  drawCovered(row);
  drawMissing(row);
  document.querySelector("main").classList.toggle("old", !feed.isServed(row));
}

/** Which windows are not whole yet, and since when the market is counted. */
function drawCovered(row) {
  const parts = feed.hello.windows.filter((seconds) => !feed.isWhole(row, seconds));
  feed.hello.windows.forEach((seconds, number) => byId("windows").children[number]?.classList.toggle("part", parts.includes(seconds)));
  document.querySelector("main").classList.toggle("partly", parts.includes(state.window));
  byId("covered").hidden = !parts.length;
  if (parts.length) setText(byId("covered"), `Counted since ${dateTime(row.covered_since)} UTC: ${parts.map(windowName).join(", ")} ${parts.length === 1 ? "is" : "are"} not whole yet.`);
}

/** In which windows trades are missing, and how many. */
function drawMissing(row) {
  const lacking = feed.hello.windows.map((seconds) => [seconds, feed.missing(row, seconds)]).filter(([, missing]) => missing);
  document.querySelector("main").classList.toggle("lacks", feed.missing(row, state.window) > 0);
  byId("missing").hidden = !lacking.length;
  if (lacking.length) setText(byId("missing"), `${lacking.map(([seconds, missing]) => `${windowName(seconds)}: ${missingText(missing)}`).join("; ")}. Numbers between those of counted trades were left out, so amounts are at least what is shown.`);
}

/** A fact for each figure that the page does not know of. */
function drawFurther(values) {
  const further = (feed.hello.figures ?? []).filter(({ name }) => !PLACED.has(name));
  const list = byId("fact-age").parentElement.parentElement;
  for (const figure of further) {
    let node = list.querySelector(`[data-figure="${figure.name}"]`);
    if (!node) {
      node = el("div", { "data-figure": figure.name, title: figure.meaning }, el("dt", {}, capital(figure.label)), el("dd"));
      byId("fact-age").parentElement.before(node);
    }
    setText(node.lastChild, inFull(figure, values[figure.name]));
  }
}

/** The open episode of the highest severity. */
function drawEpisode(row) {
  const { judgements, level } = standing(row);
  const alert = level ? judgements.find((one) => one.level === level).alert : null;
  setText(byId("episode"), alert ? `${alert.severity}, episode since ${clock(alert.episode)}` : "");
  setClass(byId("episode"), `badge ${alert?.severity ?? ""}`);
}

/** A fact for each rule: what it measured, of which threshold. */
function drawRules(row) {
  const { judgements } = standing(row);
  const names = judgements.map(({ rule, label }) => `${rule} ${label}`).join();
  const list = byId("fact-age").parentElement.parentElement;
  if (list.dataset.rules !== names) {
    list.dataset.rules = names;
    for (const old of list.querySelectorAll("[data-rule]")) old.remove();
    const made = judgements.map(({ rule, label }) => el("div", { "data-rule": rule }, el("dt", {}, `Threshold of ${label}`), el("dd")));
    byId("fact-age").parentElement.before(...made);
  }
  list.querySelectorAll("[data-rule] dd").forEach((node, at) => {
    const one = judgements[at];
    setText(node, `${progress(one)} (${share(one.measured, one.threshold, 1)})${one.alert?.retracted ? "; alert retracted" : ""}`);
  });
}

function ownerOf(row) {
  const copied = copyAge(row);
  const name = host(row.owner);
  if (copied) return `${name} does not answer; copy from Redis, ${copied} old`;
  return feed.isServed(row) ? name : `${name} does not answer`;
}

function drawAlerts() {
  const alerts = [...state.alerts.values()].sort((a, b) => b.pane - a.pane).slice(0, 8);
  byId("alerts").replaceChildren(
    ...alerts.map((alert) =>
      el("li", {}, el("b", { class: `badge ${severityClass(alert)}` }, alert.alert_severity), " ",
        el("a", { href: "#", onclick: (event) => (event.preventDefault(), goTo(alert.pane)) }, dateTime(alert.pane)), " ", alertSentence(alert)),
    ),
  );
  setText(byId("alerts-note"), alerts.length ? "" : "None in the last day.");
  if (state.info) draw();
}

async function goTo(at) {
  state.at = at;
  history.replaceState(null, "", marketAddress(venue, symbol, at));
  await load({ all: true });
  if (at) table.reveal(at);
}

function makeWindows() {
  const { windows, rule_window } = feed.hello;
  state.window = windows.includes(rule_window) ? rule_window : windows[0];
  byId("windows").replaceChildren(
    ...windows.map((seconds) => el("button", { type: "button", "aria-pressed": String(seconds === state.window), onclick: () => chooseWindow(seconds) }, windowName(seconds))),
  );
}

function chooseWindow(seconds) {
  state.window = seconds;
  feed.hello.windows.forEach((one, at) => byId("windows").children[at].setAttribute("aria-pressed", String(one === seconds)));
  drawFacts();
  load({ all: true });
}

function readout(values) {
  setText(byId("read-price"), `${values.time}  price ${values.last}  VWAP ${values.vwap}`);
  setText(byId("read-volume"), `bought $${shortUsd(values.buy)}  sold $${shortUsd(values.sell)}${values.longs || values.shorts ? `  liquidated L $${shortUsd(values.longs)} S $${shortUsd(values.shorts)}` : ""}`);
}

async function begin() {
  if (charts || !feed.hello) return;
  setText(byId("venue"), venueName(venue));
  makeWindows();
  charts = new Charts(readout, feed.hello.severities);
  table = new PaneTable((text) => setText(byId("panes-note"), text));
  await load({ all: true });
  if (state.at) table.reveal(state.at);
  loadAlerts();
}

function follow() {
  begin();
  drawFacts();
  const row = feed.rows.get(key);
  const pause = (feed.status?.poll_seconds ?? 1) * 1000;
  const isDue = performance.now() - state.polledAt > pause;
  if (charts && !document.hidden && isDue && row && row.offset !== state.seen) {
    state.seen = row.offset;
    load();
  }
}

setText(byId("symbol"), symbol || "No market");
setText(byId("venue"), venueName(venue));
document.title = `${symbol} – Liquidation Monitor`;
byId("live").addEventListener("click", () => goTo(null));
for (const name of ["snapshot", "hello", "rows", "connection", "status"]) feed.addEventListener(name, follow);
feed.addEventListener("alerts", ({ detail }) => {
  const own = detail.alerts.filter((alert) => alert.venue === venue && alert.symbol === symbol);
  for (const alert of own) state.alerts.set(alertKey(alert), alert);
  if (own.length && charts) drawAlerts();
});
setInterval(follow, 1000);
const pick = (at) => () => feed.hello?.windows[at] && chooseWindow(feed.hello.windows[at]);
startPage({ 1: pick(0), 2: pick(1), 3: pick(2), 4: pick(3), 5: pick(4), Escape: () => location.assign(address("")) });
