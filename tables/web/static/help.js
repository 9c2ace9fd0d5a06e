// What the pages' words mean, and their keys.

import { el } from "./dom.js";

const WORDS = [
  ["pane", "One second of one market: the sums of its trades."],
  ["window", "The last panes of a market, such as 5 minutes. It ends with the newest trade, not with the clock on the wall."],
  ["dimmed figures", "The window reaches back before the first trade that was counted, so it is not whole yet. Or the row is old."],
  ["late", "A trade that came after newer ones. It still counts in its own second, while that is kept."],
  ["threshold", "What a rule compares a window with. The bar says how much of it is reached, of the rule that is furthest."],
  ["severity", "LOW, MEDIUM, HIGH or CRITICAL: the highest step of a rule that a window reached."],
  ["episode", "An alert and those that follow it within the cooldown, in which only a higher severity alerts again."],
  ["retracted", "Said of an alert when late trades took its window back below the threshold."],
  ["copy", "Figures that a worker left in Redis before it fell silent, shown with their age until it or another answers."],
  ["lag", "Messages that wait to be counted, or are counted and not yet committed."],
  ["L, S", "Longs and shorts that were liquidated. Only futures say so."],
  ["VWAP", "The average price, weighted by volume."],
];

const KEYS = [
  ["o a w", "overview, alerts, workers"],
  ["/", "filter"],
  ["1 2 3 4", "window"],
  ["↑ ↓ Home End", "choose a market"],
  ["Enter", "open it"],
  ["t", "dark or light"],
  ["?", "this help"],
];

/** The dialog, closed. */
export function help() {
  const keys = KEYS.flatMap(([key, what]) => [
    el("dt", {}, ...key.split(" ").map((one) => el("kbd", {}, one))),
    el("dd", {}, what),
  ]);
  const words = WORDS.flatMap(([word, meaning]) => [el("dt", {}, word), el("dd", {}, meaning)]);
  return el(
    "dialog",
    { id: "help", "aria-label": "Help" },
    // Has the focus, so that the dialog begins at its beginning and not at its button.
    el("h2", { tabIndex: -1, autofocus: true }, "Words"),
    el("dl", { class: "keys words" }, ...words),
    el("section", { class: "of-keys" }, el("h2", {}, "Keys"), el("dl", { class: "keys" }, ...keys)),
    el("form", { method: "dialog" }, el("button", {}, "Close")),
  );
}
