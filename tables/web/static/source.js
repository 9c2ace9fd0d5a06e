// The stream of changes: the latest of everything, and whether the connection lives. Runs in a page or in a worker.

import { at } from "./address.js";

// Three times as long as the worker is ever quiet.
const SILENCE_MS = 12_000;
// A worker that restarts takes some seconds.
const RETRY_MS = 2_000;
// As long as a worker may take to send all that it serves, and what others do, after a reconnection.
const REFILL_MS = 15_000;
// Far more than a page shows; older ones are asked for.
const KEPT_ALERTS = 200;
// Only younger alerts are announced. Older ones come when a page opens, when a worker or Postgres is back, and when
// their message was delivered late: none of that is news.
const RECENT_SECONDS = 30;

export const marketKey = (row) => `${row.venue}|${row.symbol}`;
export const alertKey = (alert) => `${alert.rule}|${alert.venue}|${alert.symbol}|${alert.pane}`;

/** Keeps one connection to `/api/stream` open. `tell(message)` is called with each change. */
export class Source {
  constructor(tell) {
    this.tell = tell;
    this.hello = null;
    this.status = null;
    this.connection = "connecting";
    this.rows = new Map();
    this.sparks = new Map();
    this.alerts = new Map();
    this.offset = 0;
    this.heard = 0;
  }

  open() {
    if (this.events) return;
    this.heard = Date.now();
    this.events = new EventSource(at("api/stream"));
    for (const name of ["hello", "beat", "rows", "sparks", "alerts", "status"]) {
      this.events.addEventListener(name, (event) => this.take(name, JSON.parse(event.data)));
    }
    this.events.onerror = () => {
      this.setConnection("lost");
      if (this.events?.readyState === 2) this.retry();
    };
    this.watch ??= setInterval(() => {
      if (this.events && Date.now() - this.heard > SILENCE_MS) {
        this.setConnection("lost");
        this.close();
        this.open();
      }
    }, 1000);
  }

  close() {
    this.events?.close();
    this.events = null;
  }

  stop() {
    this.close();
    clearInterval(this.watch);
    this.watch = undefined;
  }

  async retry() {
    this.close();
    const answer = await fetch(at("api/workers?scope=local")).catch(() => null);
    if (answer?.status === 401) this.tell({ type: "login" });
    setTimeout(() => this.watch !== undefined && this.open(), RETRY_MS);
  }

  setConnection(state) {
    if (this.connection !== state) {
      this.connection = state;
      this.tell({ type: "connection", connection: state });
    }
  }

  take(name, data) {
    this.heard = Date.now();
    if (name === "hello") this.begin(data);
    else if (name === "beat") this.clock(data.at);
    else if (name === "rows") this.takeRows(data);
    else if (name === "sparks") {
      for (const spark of data) this.sparks.set(marketKey(spark), spark);
      this.tell({ type: "sparks", sparks: data });
    } else if (name === "alerts") this.takeAlerts(data);
    else if (name === "status") {
      this.status = data;
      this.tell({ type: "status", status: data });
    }
    this.setConnection("live");
  }

  begin(hello) {
    this.hello = hello;
    this.clock(hello.at);
    this.tell({ type: "hello", hello, offset: this.offset });
    // What the worker does not send again after a reconnection is served by nobody any more.
    this.fresh = new Set();
    clearTimeout(this.refill);
    this.refill = setTimeout(() => {
      const gone = [...this.rows.keys()].filter((key) => !this.fresh.has(key));
      for (const key of gone) this.rows.delete(key);
      this.fresh = null;
      if (gone.length) this.tell({ type: "gone", keys: gone });
    }, REFILL_MS);
  }

  clock(at) {
    this.offset = at - Date.now() / 1000;
    this.tell({ type: "clock", offset: this.offset });
  }

  takeRows(rows) {
    for (const row of rows) {
      const key = marketKey(row);
      this.rows.set(key, row);
      this.fresh?.add(key);
    }
    this.tell({ type: "rows", rows });
  }

  takeAlerts(changes) {
    // An alert that changed twice since the last event is here twice: the later one counts.
    const alerts = [...new Map(changes.map((alert) => [alertKey(alert), alert])).values()];
    const fresh = [];
    for (const alert of alerts) {
      const key = alertKey(alert);
      if (!this.alerts.has(key)) fresh.push(key);
      this.alerts.delete(key);
      this.alerts.set(key, alert);
    }
    while (this.alerts.size > KEPT_ALERTS) this.alerts.delete(this.alerts.keys().next().value);
    const since = Date.now() / 1000 + this.offset - RECENT_SECONDS;
    const isRecent = (key) => Date.parse(this.alerts.get(key)?.recorded_at ?? 0) / 1000 >= since;
    this.tell({ type: "alerts", alerts, fresh: fresh.filter(isRecent) });
  }

  /** All that is known, for a page that comes later. */
  snapshot() {
    return {
      type: "snapshot",
      hello: this.hello,
      status: this.status,
      connection: this.connection,
      offset: this.offset,
      rows: [...this.rows.values()],
      sparks: [...this.sparks.values()],
      alerts: [...this.alerts.values()],
    };
  }
}
