// The history of alerts, each with its window as it was.

import { at, marketAddress } from "./address.js";
import { byId, el, setText } from "./dom.js";
import { feed } from "./feed.js";
import { NONE, capital, count, dateTime, inFull, inUnit, percent, shortUsd, venueName, windowName } from "./format.js";
import { alertSentence, ruleOf, severityClass, shortage } from "./rules.js";
import { finds } from "./search.js";
import { startPage } from "./shell.js";
import { alertKey } from "./source.js";

const PAGE = 100;
// What one question may ask for.
const MOST = 5000;
const FIELDS = ["market", "rule", "severity", "from", "to"];
const DELIVERY = {
  sent: "sent", pending: "waiting", sending: "being sent", unknown: "fate unknown", dead: "not delivered", disabled: "no webhook",
};

const state = { alerts: new Map(), limit: PAGE, open: new Set(), asked: 0 };

/** Offer the severities that the worker names, lowest first, and the one that the address names. */
function fillSeverities() {
  const select = byId("severity");
  const value = select.value || new URLSearchParams(location.search).get("severity");
  const names = new Set([...(feed.hello?.severities ?? []), ...(value ? [value] : [])]);
  select.replaceChildren(el("option", { value: "" }, "any"), ...[...names].map((name) => el("option", {}, name)));
  select.value = value ?? "";
}

/** The filter as parameters of the API; times of the form are UTC. */
function parameters() {
  const found = new URLSearchParams();
  for (const name of FIELDS) {
    const { value } = byId(name);
    if (!value.trim()) continue;
    found.set(name, name === "from" || name === "to" ? Math.floor(Date.parse(`${value}Z`) / 1000) : value.trim());
  }
  return found;
}

/** Offer every rule of the worker, in force or not, since rows stay; and the one that the address names. */
function fillRules() {
  const select = byId("rule");
  const { value } = select;
  const named = new URLSearchParams(location.search).get("rule");
  const names = new Set([...Object.keys(feed.hello?.rule_labels ?? {}), ...(named ? [named] : [])]);
  select.replaceChildren(el("option", { value: "" }, "any"), ...[...names].map((name) => el("option", { value: name }, ruleOf(name).label)));
  select.value = names.has(value) ? value : "";
}

function fillForm() {
  const query = new URLSearchParams(location.search);
  fillRules();
  fillSeverities();
  // Addresses of an earlier release name a symbol and a venue.
  byId("market").value = ["symbol", "venue"].map((name) => query.get(name) ?? "").join(" ").trim();
  for (const name of FIELDS) {
    const value = query.get(name);
    if (value) byId(name).value = name === "from" || name === "to" ? new Date(Number(value) * 1000).toISOString().slice(0, 16) : value;
  }
}

async function load() {
  const asked = ++state.asked;
  const wanted = parameters();
  history.replaceState(null, "", at(wanted.size ? `alerts?${wanted}` : "alerts"));
  byId("csv").href = at(`api/alerts?${new URLSearchParams([...wanted, ["limit", MOST], ["format", "csv"]])}`);
  const answer = await fetch(at(`api/alerts?${new URLSearchParams([...wanted, ["limit", state.limit]])}`)).catch(() => null);
  if (asked !== state.asked) return;
  const body = await answer?.json().catch(() => null);
  if (!answer?.ok) {
    setText(byId("note"), body?.error ?? "The worker does not answer.");
    return;
  }
  state.alerts = new Map(body.map((alert) => [alertKey(alert), alert]));
  draw();
}

function matches(alert) {
  const wanted = parameters();
  const is = (name, value) => !wanted.get(name) || wanted.get(name) === value;
  const isInside = alert.pane >= Number(wanted.get("from") ?? 0) && alert.pane < Number(wanted.get("to") ?? Infinity);
  return finds(wanted.get("market") ?? "", alert) && is("rule", alert.rule) && is("severity", alert.alert_severity) && isInside;
}

function draw() {
  const newest = [...state.alerts.values()].sort((a, b) => b.pane - a.pane || alertKey(a).localeCompare(alertKey(b)));
  const alerts = newest.slice(0, state.limit);
  state.alerts = new Map(alerts.map((alert) => [alertKey(alert), alert]));
  const focused = document.activeElement?.dataset.key;
  byId("rows").replaceChildren(...alerts.flatMap((alert) => rows(alert)));
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  setText(byId("note"), alerts.length ? `${count(alerts.length)} shown, newest first, times in UTC` : "No alert matches.");
  byId("more").hidden = alerts.length < state.limit || state.limit === MOST;
}

function rows(alert) {
  const key = alertKey(alert);
  const isOpen = state.open.has(key);
  const toggle = () => {
    if (!state.open.delete(key)) state.open.add(key);
    draw();
    document.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
  };
  const row = el(
    "tr",
    { class: "alert-row", onclick: (event) => !event.target.closest("a, button") && toggle() },
    el("td", {}, el("button", { class: "plain", type: "button", "data-key": key, "aria-expanded": String(isOpen), "aria-label": `Window of the alert of ${alert.symbol}`, onclick: toggle }, isOpen ? "▾" : "▸"), dateTime(alert.pane)),
    el("td", {}, el("b", { class: `badge ${severityClass(alert)}` }, alert.alert_severity)),
    el("td", {}, el("a", { href: marketAddress(alert.venue, alert.symbol, alert.pane) }, alert.symbol), " ", el("small", {}, venueName(alert.venue))),
    el("td", {}, alertSentence(alert)),
    el("td", { class: "number optional" }, percent(alert.price_change_pct)),
    el("td", { class: "number optional" }, shortUsd(alert.largest_trade_usd)),
    el("td", { class: "optional" }, delivery(alert)),
  );
  return isOpen ? [row, detail(alert)] : [row];
}

function delivery(alert) {
  if (alert.delivery === null) return "–";
  return `${DELIVERY[alert.delivery] ?? alert.delivery}${alert.possible_duplicate ? ", perhaps twice" : ""}`;
}

function detail(alert) {
  const ofRule = (value) => inUnit(alert.unit, value);
  const facts = [
    ["Rule", alert.note || ruleOf(alert.rule).label], ["Measured", ofRule(alert.measured)], ["Threshold", ofRule(alert.threshold)],
    ["Severity begins at", ofRule(alert.severity_step)], ["Cooldown in force", alert.cooldown_seconds === null ? NONE : windowName(alert.cooldown_seconds)],
    ["Window", `${dateTime(alert.window_start)} to ${dateTime(alert.window_end)} (${windowName(alert.window_seconds)}${shortage(alert)})`],
    ...(feed.hello?.figures ?? []).map((figure) => [capital(figure.label), inFull(figure, alert[figure.name]), figure.meaning]),
    ["Episode began", dateTime(alert.episode)], ["Recorded", alert.recorded_at.replace("T", " ").slice(0, 23)],
    ["Row's revision", String(alert.revision)], ["Delivery", `${delivery(alert)}${alert.delivery_attempts ? `, ${alert.delivery_attempts} attempts` : ""}`],
    ["Partition / offset", `${alert.source_partition} / ${alert.source_offset}`], ["Raised at offset", alert.raised_offset === null ? NONE : String(alert.raised_offset)],
  ];
  const list = el("dl", { class: "facts" }, ...facts.map(([name, value, title]) => el("div", { title }, el("dt", {}, name), el("dd", {}, value))));
  return el("tr", { class: "detail" }, el("td", { colSpan: 7 }, list, el("p", {}, el("a", { href: marketAddress(alert.venue, alert.symbol, alert.pane) }, "The market at that moment →"))));
}

fillForm();
for (const name of FIELDS) byId(name).addEventListener("change", () => ((state.limit = PAGE), load()));
byId("filters").addEventListener("submit", (event) => (event.preventDefault(), load()));
byId("clear").addEventListener("click", () => (byId("filters").reset(), load()));
byId("more").addEventListener("click", () => ((state.limit = Math.min(state.limit + PAGE, MOST)), load()));
for (const name of ["hello", "snapshot"]) feed.addEventListener(name, () => (fillRules(), fillSeverities(), state.alerts.size && draw()));
feed.addEventListener("alerts", ({ detail: { alerts } }) => {
  for (const alert of alerts) if (matches(alert)) state.alerts.set(alertKey(alert), alert);
  draw();
});
// Since when their markets are counted comes with the rows.
feed.addEventListener("status", () => state.alerts.size && draw());
startPage({ "/": () => byId("market").focus() });
load();
