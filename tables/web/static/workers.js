// The workers: what each serves, how far it is, what it runs on; and the producers' feeds.

import { at } from "./address.js";
import { byId, el, setText } from "./dom.js";
import { feed } from "./feed.js";
import { NONE, age, bytes, count, host, venueName } from "./format.js";
import { startPage } from "./shell.js";

// Each question goes on to every worker and producer.
const POLL_MS = 2_000;

async function load() {
  if (document.hidden) return;
  const answer = await fetch(at("api/workers")).catch(() => null);
  if (answer?.status === 401) location.assign(at("login"));
  const body = await answer?.json().catch(() => null);
  if (!answer?.ok || !body) {
    setText(byId("note"), "The worker does not answer.");
    return;
  }
  setText(byId("note"), body.notes.join(" · "));
  drawDifferences(body.differences ?? []);
  byId("workers").replaceChildren(...body.rows.map((row) => workerCard(row, row.url === body.here)));
  byId("producers").replaceChildren(...body.producers.map(producerCard));
  byId("no-producers").hidden = body.producers.length > 0;
}

/** Settings on which the workers do not agree, as while they are replaced one by one. */
function drawDifferences(differences) {
  const box = byId("differences");
  box.hidden = !differences.length;
  const value = ([url, text]) => `${host(url)}: ${text || "not set"}`;
  box.replaceChildren(
    el("strong", {}, "Workers have different settings. "), "Each market follows those of its owner, and so do its alerts.",
    el("ul", {}, ...differences.map(({ setting, values }) => el("li", {}, el("code", {}, setting), " ", Object.entries(values).map(value).join(" · ")))),
  );
}

function facts(pairs) {
  return el("dl", { class: "facts" }, ...pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

const stateOf = (isGood, text) => el("span", { class: `state ${isGood ? "good" : "bad"}` }, `● ${text}`);

function workerCard(row, isHere) {
  const lag = row.partitions.reduce((sum, one) => sum + (one.role === "active" ? one.lag ?? 0 : 0), 0);
  const word = row.answering ? (row.note || (row.ready ? "ready" : "not ready")) : "does not answer";
  return el(
    "article",
    { class: "panel" },
    el("header", {}, el("h2", {}, host(row.url)), stateOf(row.ready, word), isHere ? el("small", {}, "answers this page") : null),
    row.answering && facts([
      ["Partitions", count(row.partitions.filter((one) => one.role === "active").length)], ["Lag", `${count(lag)} messages`], ["Markets", count(row.markets)], ["Panes", count(row.panes)],
      ["Table store", row.table_store], ["Memory", bytes(row.memory_bytes)], ["Up", age(feed.now() - row.started)], ["Open streams", count(row.watchers)],
    ]),
    row.partitions.length > 0 && el(
      "div",
      { class: "scroll", tabIndex: 0, role: "region", "aria-label": `Partitions of ${row.url}` },
      el(
        "table",
        {},
        el("thead", {}, el("tr", {}, ...["Partition", "Role", "Lag", "Last trade", "Markets", "Offset", "End", "Committed"].map((name, at) => el("th", { class: at > 1 ? "number" : "" }, name)))),
        el("tbody", {}, ...row.partitions.map(partitionRow)),
      ),
    ),
    row.feeds.length > 0 && el("p", { class: "dim" }, "Last trades: ", row.feeds.map((one) => `${venueName(one.venue)} ${one.age_seconds === null ? "not since the start" : `${age(one.age_seconds)} ago`} (${count(one.markets)} ${one.markets === 1 ? "market" : "markets"})`).join(" · ")),
    row.answering && el("p", { class: "dim" }, Object.entries(row.versions).map(([name, version]) => `${name} ${version}`).join(" · ")),
  );
}

function partitionRow(one) {
  const number = (value) => (value === null ? NONE : count(value));
  const isStandby = one.role === "standby";
  return el(
    "tr",
    {},
    el("td", {}, String(one.partition)), el("td", { title: isStandby ? "a copy kept for a take-over; lag and offsets are records of the changelog" : "" }, one.role),
    el("td", { class: "number" }, number(one.lag)), el("td", { class: "number" }, one.age_seconds === null ? NONE : age(one.age_seconds)),
    el("td", { class: "number" }, isStandby ? NONE : number(one.markets)), el("td", { class: "number" }, number(one.offset)),
    el("td", { class: "number" }, number(one.end_offset)), el("td", { class: "number" }, number(one.committed_offset)),
  );
}

const ago = (unix) => (unix === null ? NONE : age(feed.now() - unix));

const sentence = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

/** A value for people; one of several parts, such as a skew against two clocks, as a list of them. */
function plain(value) {
  if (value !== null && typeof value === "object") return Object.entries(value).map(([name, part]) => `${name} ${plain(part)}`).join(" · ");
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number") return value.toLocaleString("en-US", { maximumFractionDigits: 3 });
  return String(value ?? NONE);
}

function producerCard(row) {
  // What is empty, such as the complaint about a clock that is right, would be a name without a value.
  const shown = Object.entries(row.details).filter(([, value]) => value !== "").map(([name, value]) => [sentence(name), plain(value)]);
  return el(
    "article",
    { class: "panel" },
    el("header", {}, el("h2", {}, host(row.url)), stateOf(row.ready, row.answering ? (row.ready ? "ready" : "not ready") : "does not answer")),
    row.connections.length > 0 && connectionTable(row),
    shown.length > 0 && facts(shown),
  );
}

function connectionTable(row) {
  const heads = ["Feed", "State", "For", "Last message", "Reconnects", "Symbols"];
  return el(
    "div",
    { class: "scroll", tabIndex: 0, role: "region", "aria-label": `Feed connections of ${row.url}` },
    el(
      "table",
      { class: "connections" },
      el("thead", {}, el("tr", {}, ...heads.map((name, at) => el("th", { class: at > 1 ? "number" : "" }, name)))),
      el("tbody", {}, ...row.connections.map(connectionRow)),
    ),
  );
}

function connectionRow(one) {
  return el(
    "tr",
    { "data-venue": one.venue },
    el("td", {}, venueName(one.venue), el("small", { class: "below" }, one.address)),
    el("td", {}, stateOf(one.connected, one.connected ? "connected" : one.since === null ? "connecting" : "lost")),
    el("td", { class: "number" }, ago(one.since)),
    el("td", { class: "number" }, one.last_message === null ? NONE : `${ago(one.last_message)} ago`),
    el("td", { class: "number" }, count(one.reconnects)),
    el(
      "td",
      { class: "number" },
      one.unsettled ? `${count(one.symbols - one.unsettled)} of ${count(one.symbols)}` : count(one.symbols),
      one.refused?.length > 0 && el("small", { class: "below" }, `refused: ${one.refused.join(", ")}`),
    ),
  );
}

startPage();
load();
setInterval(load, POLL_MS);
