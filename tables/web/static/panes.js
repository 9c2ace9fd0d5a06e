// The raw panes of a market as a table: what to look at when a number looks wrong.

import { byId, el, setClass, setText } from "./dom.js";
import { feed } from "./feed.js";
import { capital, clock, count, dateTime, inFull, price, shortUsd, usd } from "./format.js";
import { VirtualRows } from "./virtual.js";

const CELLS = [
  ["Time (UTC)", ""], ["Trades", "number"], ["Volume", "number"], ["Bought", "number"], ["Sold", "number"],
  ["Longs liq.", "number"], ["Shorts liq.", "number"], ["VWAP", "number"], ["High", "number"], ["Low", "number"],
  ["Last", "number"], ["Ids counted", ""], ["Missing before", ""],
];

/** `tell(text)` is given a summary of what is shown. */
export class PaneTable {
  constructor(tell) {
    this.tell = tell;
    this.digits = 2;
    this.at = null;
    byId("panes-head").replaceChildren(
      ...CELLS.map(([name, align]) => el("div", { role: "columnheader", class: align }, name)),
    );
    this.rows = new VirtualRows({
      scroller: byId("panes"),
      body: byId("panes-body"),
      key: (pane) => pane.pane,
      make: () => el("div", { role: "row", class: "row" }, ...CELLS.map(([, align], n) => el("div", { role: "cell", class: n > 10 ? "ids" : align }))),
      fill: (element, pane, index) => this.fill(element, pane, index),
    });
    byId("panes-body").addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) this.open(row.pane);
    });
    byId("gaps").addEventListener("change", () => this.show(this.panes ?? []));
  }

  /** Show panes in time order; the newest is on top. */
  show(panes) {
    this.panes = panes;
    const wanted = byId("gaps").checked ? panes.filter((pane) => pane.gaps.length) : panes;
    this.rows.setItems(wanted.toReversed());
    byId("panes").setAttribute("aria-rowcount", String(wanted.length + 1));
    const missing = panes.reduce((sum, pane) => sum + pane.gaps.reduce((ids, [low, high]) => ids + high - low + 1, 0), 0);
    const ids = panes.reduce((sum, pane) => sum + pane.id_count, 0);
    const hasLongIds = typeof panes.at(-1)?.ids[0] === "string";
    const gaps = hasLongIds ? "ids that do not count up, so gaps cannot be told" : missing ? `${count(missing)} missing` : "none missing";
    this.tell(`${count(panes.length)} panes, ${count(ids)} ids, ${gaps}`);
  }

  /** Scroll to the pane of a moment. */
  reveal(at) {
    this.at = at;
    const index = this.rows.items.findIndex((pane) => pane.pane <= at);
    if (index >= 0) {
      this.rows.reveal(index, { middle: true });
      this.rows.draw();
    }
  }

  fill(element, pane, index) {
    element.pane = pane;
    element.setAttribute("aria-rowindex", String(index + 2));
    setClass(element, `row${pane.gaps.length ? " gap" : ""}${pane.pane === this.at ? " at" : ""}`);
    const of = (value) => price(value, this.digits);
    [
      clock(pane.pane), count(pane.count), usd(pane.total_volume_usd), shortUsd(pane.buy_volume_usd), shortUsd(pane.sell_volume_usd),
      shortUsd(pane.liquidation_long_usd), shortUsd(pane.liquidation_short_usd), of(pane.vwap), of(pane.high), of(pane.low),
      of(pane.last_price), idsText(pane), rangesText(pane.gaps),
    ].forEach((text, at) => setText(element.children[at], text));
  }

  open(pane) {
    const facts = [
      ["Pane", `${dateTime(pane.pane)} UTC (${pane.pane})`],
      ...(feed.hello?.figures ?? []).filter((figure) => figure.is_of_panes).map((figure) => [capital(figure.label), inFull(figure, pane[figure.name]), figure.meaning]),
      ["First / last trade", `${moment(pane.first_us)} / ${moment(pane.last_us)}`],
      ["Ids counted", `${count(pane.id_count)}`], ["Missing before", rangesText(pane.gaps) || "none"],
    ];
    byId("pane-facts").replaceChildren(...facts.map(([name, value, title]) => el("div", { title }, el("dt", {}, name), el("dd", {}, value))));
    setText(byId("pane-ids"), pane.ids.map((one) => (Array.isArray(one) ? rangesText([one]) : one)).join("\n"));
    byId("pane").showModal();
  }
}

const moment = (us) => (us ? `${clock(Math.floor(us / 1e6))}.${String(us % 1_000_000).padStart(6, "0")}` : "–");

function rangesText(ranges) {
  return ranges.map(([low, high]) => (low === high ? String(low) : `${low}…${high} (${count(high - low + 1)})`)).join(", ");
}

function idsText(pane) {
  if (!pane.ids.length) return "";
  if (Array.isArray(pane.ids[0])) return rangesText(pane.ids);
  return pane.ids.length === 1 ? pane.ids[0] : `${pane.ids.length} ids, ${pane.ids[0].slice(0, 8)}…`;
}
