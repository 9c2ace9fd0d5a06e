// What every page has: navigation, connection, theme, keys, and new alerts announced.

import { at, here, marketAddress } from "./address.js";
import { byId, el, setClass, setText, svg } from "./dom.js";
import { feed } from "./feed.js";
import { age, count } from "./format.js";
import { help } from "./help.js";
import { alertSentence, severityClass } from "./rules.js";
import { alertKey } from "./source.js";

const PAGES = [["", "Overview", "o"], ["alerts", "Alerts", "a"], ["workers", "Workers", "w"]];
// Long enough to read each of the most that are shown at once, and few enough to leave the page in sight on a phone.
const TOAST_MS = 12_000;
const MAX_TOASTS = 3;
// A recording, or trades that waited for a worker, alert now about what was then.
const OLD_SECONDS = 60;
const TITLE = document.title;

let unseen = 0;
// Counted once a second: there may be thousands of rows, and they change several times a second.
let copies = 0;

/** Build the header and start the stream. `keys` are more keys of the page: name to action. */
export function startPage(keys = {}) {
  document.body.prepend(header(), el("div", { id: "notes", class: "notes", role: "status", "aria-live": "polite" }));
  document.body.append(
    el("div", { id: "toasts", class: "toasts", role: "log", "aria-live": "polite", "aria-label": "New alerts" }),
    help(),
  );
  feed.addEventListener("change", showConnection);
  for (const name of ["snapshot", "status"]) feed.addEventListener(name, countCopies);
  setInterval(countCopies, 1000);
  feed.addEventListener("alerts", ({ detail }) => announce(detail));
  feed.addEventListener("snapshot", showTools);
  feed.addEventListener("hello", showTools);
  document.addEventListener("visibilitychange", seen);
  listen(keys);
  showConnection();
  feed.start();
}

function header() {
  const links = PAGES.map(([path, name]) =>
    el("a", { href: at(path), "aria-current": path === here() ? "page" : undefined }, name),
  );
  return el(
    "header",
    { class: "top" },
    el("a", { class: "brand", href: at("") }, el("img", { src: at("static/icon.svg"), alt: "", width: 22, height: 22 }), "Liquidation Monitor"),
    el("nav", { "aria-label": "Pages" }, ...links),
    el("span", { class: "spring" }),
    el("span", { id: "connection", class: "connection", role: "status" }),
    el("button", { id: "theme", type: "button", class: "plain", title: "Dark or light (t)", "aria-label": "Switch between dark and light", onclick: switchTheme }, "◐"),
    el("button", { type: "button", class: "plain", title: "Help (?)", "aria-label": "Help: words and keys", onclick: () => byId("help").showModal() }, "?"),
    el("form", { id: "logout", method: "post", action: at("logout"), hidden: true }, el("button", { class: "plain", type: "submit", title: "Log out", "aria-label": "Log out" }, el("span", {}, "Log out"), leaving())),
  );
}

/** A door and an arrow, in place of words where the header is narrow. */
const leaving = () => svg("svg", { width: 16, height: 16, viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: "M9 2H3v12h6M7 8h7M11 5l3 3-3 3" }));

function showTools() {
  byId("logout").hidden = !feed.hello?.has_token;
}

function countCopies() {
  copies = 0;
  for (const row of feed.rows.values()) copies += Boolean(row.copied);
  showConnection();
}

function showConnection() {
  const node = byId("connection");
  const workers = feed.status?.workers ?? [];
  const answering = workers.filter((worker) => worker.answering).length;
  if (feed.connection === "live") {
    const isAll = answering === workers.length && feed.hasAll && !copies;
    setClass(node, isAll ? "connection live" : "connection part");
    const parts = [
      "live",
      workers.length > 1 && `${answering}/${workers.length} workers`,
      copies && `${count(copies)} ${copies === 1 ? "copy" : "copies"}`,
      !copies && !feed.hasAll && "markets are coming",
    ];
    setText(node, parts.filter(Boolean).join(" · "));
  } else {
    setClass(node, `connection ${feed.connection}`);
    setText(node, feed.connection === "lost" ? "connection lost" : "connecting");
  }
  node.title = node.textContent;
  const notes = feed.connection === "lost" ? ["Connection lost: the figures are old. Trying again."] : feed.status?.notes ?? [];
  setText(byId("notes"), notes.join(" · "));
  document.body.classList.toggle("lost", feed.connection === "lost");
}

function announce({ alerts, fresh }) {
  const news = alerts.filter((alert) => fresh.includes(alertKey(alert)));
  if (document.hidden && news.length) {
    unseen += news.length;
    document.title = `(${unseen}) ${TITLE}`;
  }
  const box = byId("toasts");
  for (const alert of news.slice(-MAX_TOASTS)) {
    const toast = el(
      "a",
      { class: `toast ${severityClass(alert)}`, href: marketAddress(alert.venue, alert.symbol, alert.pane) },
      el("b", {}, `${alert.alert_severity} ${alert.symbol}`, feed.now() - alert.pane > OLD_SECONDS && el("small", {}, ` ${age(feed.now() - alert.pane)} ago`)),
      el("span", {}, alertSentence(alert)),
    );
    box.append(toast);
    while (box.children.length > MAX_TOASTS) box.firstChild.remove();
    setTimeout(() => toast.remove(), TOAST_MS);
  }
}

function seen() {
  if (!document.hidden) {
    unseen = 0;
    document.title = TITLE;
  }
}

function switchTheme() {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
  dispatchEvent(new Event("themechange"));
}

function listen(keys) {
  const actions = {
    ...Object.fromEntries(PAGES.map(([path, , key]) => [key, () => location.assign(at(path))])),
    t: switchTheme,
    "?": () => byId("help").showModal(),
    ...keys,
  };
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.closest?.("input, select, textarea, dialog");
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping) return;
    const action = actions[event.key];
    if (action) {
      event.preventDefault();
      action();
    }
  });
}

/** How old a market's last trade is, as text. */
export function rowAge(row) {
  return age(feed.now() - (row.received ?? row.pane + 1));
}

/** How old a row's figures are where they are a copy from Redis, as text; empty for figures of its worker. */
export function copyAge(row) {
  return row.copied ? age(feed.now() - row.copied) : "";
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("themechange")));
