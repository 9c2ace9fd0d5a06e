// The overview: one row a market, live.

import { makeColumns, view } from "./columns.js";
import { marketAddress } from "./address.js";
import { byId, el, setClass, setText } from "./dom.js";
import { feed } from "./feed.js";
import { age, count, shortUsd, venueName, windowName } from "./format.js";
import { alertSentence, severityClass, standing } from "./rules.js";
import { finds } from "./search.js";
import { startPage } from "./shell.js";
import { VirtualRows } from "./virtual.js";

// Rows move at most so often, and not while someone points at them.
const REORDER_MS = 1_500;
const HOLD_MS = 4_000;
// As many as fit side by side on a desk's screen.
const SHOWN_ALERTS = 4;

const state = { window: 300, sort: "", direction: -1, chosen: null, orderedAt: 0, heldUntil: 0, order: [] };
let columns = [];
let rows = null;

function prepare() {
  if (columns.length || !feed.hello) return;
  const { windows, rule_window } = feed.hello;
  const stored = JSON.parse(localStorage.getItem("overview") ?? "{}");
  state.window = windows.includes(stored.window) ? stored.window : rule_window;
  columns = makeColumns(windows);
  state.sort = columns.some((column) => column.id === stored.sort) ? stored.sort : volumeColumn(state.window);
  state.direction = stored.direction === 1 ? 1 : -1;
  byId("grid").style.setProperty("--volumes", windows.length);
  makeHead();
  makeWindows(windows);
  rows = new VirtualRows({
    scroller: byId("grid"),
    body: byId("body"),
    key: (item) => item.key,
    make: () => el("div", { role: "row", class: "row" }, ...columns.map((column) => column.make())),
    fill: fillRow,
  });
}

function makeHead() {
  const cells = columns.map((column) => {
    const cell = el("div", { role: "columnheader", class: column.align ?? "number", title: column.hint ?? "" });
    if (column.value) cell.append(el("button", { type: "button", onclick: () => sortBy(column) }, column.title));
    else cell.append(el("span", {}, column.title));
    column.head = cell;
    return cell;
  });
  byId("head").replaceChildren(...cells);
  showSort();
}

function makeWindows(windows) {
  const buttons = windows.map((seconds) =>
    el("button", { type: "button", "data-seconds": seconds, onclick: () => chooseWindow(seconds) }, windowName(seconds)),
  );
  byId("windows").replaceChildren(...buttons);
  chooseWindow(state.window);
}

const volumeColumn = (seconds) => `volume${seconds}`;

function chooseWindow(seconds) {
  // Who sorts by the window that is shown goes on to.
  if (state.sort === volumeColumn(state.window)) state.sort = volumeColumn(seconds);
  state.window = seconds;
  showSort();
  for (const button of byId("windows").children) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.seconds) === seconds));
  }
  for (const column of columns) column.head.classList.toggle("current", column.seconds === seconds);
  store();
  draw({ reorder: true });
}

function sortBy(column) {
  state.direction = state.sort === column.id ? -state.direction : column.first;
  state.sort = column.id;
  showSort();
  store();
  draw({ reorder: true });
}

function showSort() {
  for (const column of columns) {
    if (!column.value) continue;
    const isSorted = column.id === state.sort;
    column.head.setAttribute("aria-sort", !isSorted ? "none" : state.direction > 0 ? "ascending" : "descending");
  }
}

function store() {
  const { window, sort, direction } = state;
  localStorage.setItem("overview", JSON.stringify({ window, sort, direction }));
}

function isWanted(row) {
  return finds(byId("filter").value, row, venueName(row.venue)) && (!byId("only").checked || standing(row).level);
}

function draw({ reorder = false } = {}) {
  if (!rows) return;
  const items = new Map();
  for (const row of feed.rows.values()) {
    if (isWanted(row)) {
      const item = view(row, state.window);
      items.set(item.key, item);
    }
  }
  const now = performance.now();
  const isDue = now - state.orderedAt > REORDER_MS && now > state.heldUntil;
  if (reorder || isDue || items.size !== state.order.length || state.order.some((key) => !items.has(key))) {
    state.order = order([...items.values()]);
    state.orderedAt = now;
  }
  rows.setItems(state.order.map((key) => items.get(key)));
  byId("grid").setAttribute("aria-rowcount", String(items.size + 1));
  const isEmpty = items.size === 0;
  byId("empty").hidden = !isEmpty;
  if (isEmpty) setText(byId("empty"), feed.rows.size ? "No market matches the filter." : feed.hasAll ? "Waiting for the first trades." : "Markets are coming.");
  drawTiles(items);
}

function order(items) {
  const column = columns.find((one) => one.id === state.sort);
  const compare = (a, b) => {
    const [x, y] = [column.value(a), column.value(b)];
    const difference = typeof x === "string" ? x.localeCompare(y) : x - y;
    // What is missing comes last, whichever way the rest is sorted.
    return Number.isNaN(x) - Number.isNaN(y) || difference * state.direction || a.key.localeCompare(b.key);
  };
  return items.sort(compare).map((item) => item.key);
}

function fillRow(element, item, index) {
  const level = item.level ? feed.hello.severities[item.level - 1] : "";
  const isOld = !feed.isServed(item.row);
  const isMoving = element.classList.contains("moving") ? " moving" : "";
  setClass(element, `row ${level}${isOld ? " old" : ""}${item.key === state.chosen ? " chosen" : ""}${isMoving}`);
  if (element.index !== index) {
    element.index = index;
    element.setAttribute("aria-rowindex", String(index + 2));
  }
  if (element.key !== item.key) {
    element.key = item.key;
    element.id = `row-${item.key}`;
    element.dataset.key = item.key;
    element.dataset.symbol = item.row.symbol;
  }
  columns.forEach((column, at) => column.fill(element.children[at], item));
}

function drawTiles(items) {
  const all = [...items.values()];
  const sum = (name) => all.reduce((total, item) => total + (item[name] || 0), 0);
  const open = all.filter((item) => item.level);
  setText(byId("tile-markets"), feed.hasAll ? count(all.length) : `${count(all.length)} so far`);
  const isFiltered = all.length < feed.rows.size;
  setText(byId("tile-scope"), isFiltered ? `${count(all.length)} of ${count(feed.rows.size)} markets` : feed.hasAll ? "all markets" : "markets so far");
  const parts = all.filter((item) => !item.isWhole).length;
  for (const name of ["volume", "longs", "shorts"]) {
    byId(`tile-${name}`).classList.toggle("part", parts > 0);
    byId(`tile-${name}`).title = parts ? `not whole yet in ${count(parts)} ${parts === 1 ? "market" : "markets"}` : "";
  }
  setText(byId("tile-rate"), `${sum("rate").toFixed(1)} trades/s`);
  setText(byId("tile-volume"), `$${shortUsd(sum("total_volume_usd"))}`);
  for (const node of document.querySelectorAll("[data-window]")) setText(node, windowName(state.window));
  setText(byId("tile-longs"), `$${shortUsd(sum("liquidation_long_usd"))}`);
  setText(byId("tile-shorts"), `$${shortUsd(sum("liquidation_short_usd"))}`);
  setText(byId("tile-open"), String(open.length));
  const worst = open.reduce((most, item) => Math.max(most, item.level), 0);
  setClass(byId("tile-open"), `figure ${worst ? feed.hello.severities[worst - 1] : ""}`);
  setText(byId("tile-worst"), worst ? `highest ${feed.hello.severities[worst - 1]}` : "all quiet");
}

function drawAlerts() {
  const latest = [...feed.alerts.values()].sort((a, b) => b.pane - a.pane || b.recorded_at.localeCompare(a.recorded_at)).slice(0, SHOWN_ALERTS);
  const box = byId("latest");
  const isNone = latest.length === 0;
  box.replaceChildren(
    ...latest.map((alert) =>
      el(
        "a",
        { class: "chip", href: marketAddress(alert.venue, alert.symbol, alert.pane) },
        el("b", { class: `badge ${severityClass(alert)}` }, alert.alert_severity),
        el("strong", {}, alert.symbol),
        el("small", {}, `${age(feed.now() - alert.pane)} ago`),
        el("span", {}, alertSentence(alert)),
      ),
    ),
  );
  if (isNone) box.append(el("p", { class: "dim" }, "No alerts yet."));
}

function choose(step) {
  if (!rows?.items.length) return;
  const at = rows.items.findIndex((item) => item.key === state.chosen);
  const last = rows.items.length - 1;
  const next = Math.max(0, Math.min(last, step === "first" ? 0 : step === "last" ? last : at < 0 ? 0 : at + step));
  state.chosen = rows.items[next].key;
  state.heldUntil = performance.now() + HOLD_MS;
  rows.reveal(next);
  rows.draw();
  byId("grid").setAttribute("aria-activedescendant", `row-${state.chosen}`);
}

function openChosen() {
  const row = feed.rows.get(state.chosen);
  if (row) location.assign(marketAddress(row.venue, row.symbol));
}

function wire() {
  const grid = byId("grid");
  const page = () => Math.max(1, Math.floor(grid.clientHeight / rows.rowHeight) - 2);
  const steps = { ArrowDown: () => 1, ArrowUp: () => -1, PageDown: () => page(), PageUp: () => -page(), Home: () => "first", End: () => "last" };
  grid.addEventListener("keydown", (event) => {
    if (event.target.closest("button, a") && event.key === "Enter") return;
    if (steps[event.key]) choose(steps[event.key]());
    else if (event.key === "Enter") openChosen();
    else return;
    event.preventDefault();
  });
  byId("body").addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row && !event.target.closest("a")) {
      state.chosen = row.dataset.key;
      openChosen();
    }
  });
  byId("body").addEventListener("pointermove", () => (state.heldUntil = performance.now() + HOLD_MS), { passive: true });
  byId("filter").addEventListener("input", () => draw({ reorder: true }));
  byId("filter").addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.target.value = "";
      draw({ reorder: true });
      grid.focus();
    }
  });
  byId("only").addEventListener("change", () => draw({ reorder: true }));
}

let isAsked = false;

function request() {
  if (isAsked) return;
  isAsked = true;
  requestAnimationFrame(() => {
    isAsked = false;
    prepare();
    draw();
  });
}

wire();
for (const name of ["snapshot", "hello", "rows", "sparks", "status", "connection", "gone"]) feed.addEventListener(name, request);
for (const name of ["snapshot", "alerts"]) feed.addEventListener(name, drawAlerts);
setInterval(request, 1000);
setInterval(drawAlerts, 5000);
const pick = (at) => () => feed.hello?.windows[at] && chooseWindow(feed.hello.windows[at]);
startPage({
  "/": () => byId("filter").focus(),
  ArrowDown: () => byId("grid").focus() ?? choose(1),
  1: pick(0), 2: pick(1), 3: pick(2), 4: pick(3), 5: pick(4),
});
