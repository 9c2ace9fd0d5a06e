// What a page knows of the markets: filled by the stream, the same object for every part of the page.

import { at } from "./address.js";
import { nameVenues } from "./format.js";
import { Source, alertKey, marketKey } from "./source.js";

class Feed extends EventTarget {
  constructor() {
    super();
    this.hello = null;
    this.status = null;
    this.connection = "connecting";
    this.offset = 0;
    this.rows = new Map();
    this.sparks = new Map();
    this.alerts = new Map();
  }

  /** The server's time, unix seconds. */
  now() {
    return Date.now() / 1000 + this.offset;
  }

  start() {
    let port = null;
    if ("SharedWorker" in window) {
      try {
        port = new SharedWorker(at("static/source-worker.js"), { type: "module", name: "liqmon" }).port;
      } catch {
        port = null;
      }
    }
    if (port) {
      port.onmessage = ({ data }) => this.take(data);
      port.start();
      port.postMessage("hello");
      addEventListener("pagehide", () => port.postMessage("bye"));
      addEventListener("pageshow", (event) => event.persisted && port.postMessage("hello"));
    } else {
      const source = new Source((message) => this.take(message));
      source.open();
      addEventListener("pagehide", () => source.stop());
      addEventListener("pageshow", (event) => event.persisted && source.open());
    }
  }

  take(message) {
    const { type } = message;
    if (type === "login") {
      location.assign(at("login"));
      return;
    }
    if (message.offset !== undefined) this.offset = message.offset;
    if (message.hello) {
      this.hello = message.hello;
      nameVenues(message.hello.venues ?? {});
    }
    if (message.status) this.status = message.status;
    if (message.connection) this.connection = message.connection;
    for (const row of message.rows ?? []) this.rows.set(marketKey(row), row);
    for (const spark of message.sparks ?? []) this.sparks.set(marketKey(spark), spark);
    for (const key of message.keys ?? []) this.rows.delete(key);
    for (const alert of message.alerts ?? []) {
      this.alerts.delete(alertKey(alert));
      this.alerts.set(alertKey(alert), alert);
    }
    this.dispatchEvent(new CustomEvent(type, { detail: message }));
    if (type !== "clock") this.dispatchEvent(new CustomEvent("change", { detail: message }));
  }

  /** Whether the worker that serves a row answers. */
  isServed(row) {
    const worker = this.status?.workers.find((one) => one.url === row.owner);
    return this.connection === "live" && !row.copied && (!this.status || Boolean(worker?.answering));
  }

  /** Whether a window holds all of its length: it does not begin before the first trade that was counted. */
  isWhole(row, window) {
    return row.covered_since == null || row.pane - window + 1 >= row.covered_since;
  }

  /** How many trades are missing in a window; 0 where nobody knows. */
  missing(row, window) {
    return row.missing_trades?.[(row.window_seconds ?? this.hello.windows).indexOf(window)] ?? 0;
  }

  /** Whether a row of every market has come, of every worker. */
  get hasAll() {
    return this.connection === "live" && Boolean(this.status) && this.status.whole !== false;
  }

  /** A window's figures in the order of the columns; workers may differ in their windows. */
  #values(row, window) {
    return row.windows[(row.window_seconds ?? this.hello.windows).indexOf(window)] ?? [];
  }

  /** A window's figure by name; NaN, which is shown as missing, where the row's worker does not have it. */
  figure(row, window, name) {
    return this.#values(row, window)[this.hello.columns.indexOf(name)] ?? NaN;
  }

  /** All figures of a window by name. */
  figures(row, window) {
    const values = this.#values(row, window);
    return Object.fromEntries(this.hello.columns.map((name, at) => [name, values[at] ?? NaN]));
  }
}

export const feed = new Feed();
