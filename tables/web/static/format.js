// Numbers, prices, times and durations for people.

const UNITS = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const cents = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const byDigits = new Map();

export const NONE = "–";
export const MINUS = "−";

/** Three digits and a unit: 1.23M. */
export function shortUsd(value) {
  if (!Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  const sign = value < 0 ? MINUS : "";
  for (const [unit, name] of UNITS) {
    if (size >= unit * 0.9995) {
      const scaled = size / unit;
      return `${sign}${scaled.toFixed(scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2)}${name}`;
    }
  }
  return size === 0 ? "0" : `${sign}${size.toFixed(size >= 99.5 ? 0 : size >= 9.95 ? 1 : 2)}`;
}

export const usd = (value) => (Number.isFinite(value) ? `$${cents.format(value)}` : NONE);
export const count = (value) => (Number.isFinite(value) ? whole.format(value) : NONE);

/** Decimals that a price is written with. */
export function decimals(price) {
  const text = String(price);
  const at = text.indexOf(".");
  return at < 0 || text.includes("e") ? 0 : Math.min(text.length - at - 1, 10);
}

/** A price with this many decimals. */
export function price(value, digits) {
  if (!value) return NONE;
  let formatter = byDigits.get(digits);
  if (!formatter) {
    formatter = new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
    byDigits.set(digits, formatter);
  }
  return formatter.format(value);
}

/** A percentage with its sign: +1.23 %. */
export function percent(value, digits = 2) {
  if (!Number.isFinite(value)) return NONE;
  const text = Math.abs(value).toFixed(digits);
  const sign = Number(text) === 0 ? "" : value > 0 ? "+" : MINUS;
  return `${sign}${text}%`;
}

/** The class of a percentage as it is shown: what rounds to 0.00% went neither way. */
export const direction = (shown) => ({ "+": "up", [MINUS]: "down" })[shown[0]] ?? "";

/** A duration in its largest unit: 45s, 12m, 3h, 5d. */
export function age(seconds) {
  if (!Number.isFinite(seconds)) return NONE;
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)}s`;
  if (seconds < 100) return `${Math.round(seconds)}s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)}m`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)}h`;
  return `${Math.round(seconds / 86400)}d`;
}

/** A window's length: 1m, 15m, 1h, 90s. */
export function windowName(seconds) {
  if (seconds % 3600 === 0) return `${seconds / 3600}h`;
  if (seconds % 60 === 0) return `${seconds / 60}m`;
  return `${seconds}s`;
}

const pad = (number) => String(number).padStart(2, "0");

/** Time of day, UTC: 14:05:09. */
export function clock(unix) {
  const at = new Date(unix * 1000);
  return `${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}:${pad(at.getUTCSeconds())}`;
}

/** Date and time, UTC: 2026-11-23 14:05:09. */
export const dateTime = (unix) => `${new Date(unix * 1000).toISOString().slice(0, 10)} ${clock(unix)}`;

export const bytes = (size) => (size ? `${(size / 1048576).toFixed(0)} MiB` : NONE);

/** kraken_spot as people say it. */
/** Where a worker is, without the scheme. */
export const host = (url) => url.replace(/^https?:\/\//, "");

export const venueName = (venue) => venue.replaceAll("_", " ");

// Quotients of decimals may lie a hair below what they are.
const HAIR = 1e-9;

/** A number with so many decimals, rounded down. */
export const floored = (value, digits) => (Math.floor(value * 10 ** digits + HAIR) / 10 ** digits).toFixed(digits);

/** How much of a threshold is reached, rounded down: it never claims a severity that was not reached. */
export const share = (reach, digits = 0) => `${floored(reach * 100, digits)}%`;

/** How often a threshold is reached, rounded down. */
export const multiple = (reach) => `${floored(reach, 1)}×`;
