// Numbers, prices, times and durations for people.

const MAGNITUDES = [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]];
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const cents = new Intl.NumberFormat("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const traded = new Intl.NumberFormat("en-US", { maximumFractionDigits: 10 });
const computed = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 9, maximumFractionDigits: 20 });
const byDigits = new Map();

export const NONE = "–";
export const MINUS = "−";

// Amounts are exact in micro-USD, of which they are written as decimals; as floats they may lie a hair below.
const micros = (usd) => Math.round(usd * 1e6);
const floorDivide = (amount, unit) => (amount - (amount % unit)) / unit;

/** Three digits and a unit, rounded down by the rule of streams/model/money.py: 1.23M. */
export function shortUsd(value) {
  if (!Number.isFinite(value)) return NONE;
  const amount = micros(Math.abs(value));
  if (amount === 0) return "0";
  const [unit, name] = MAGNITUDES.find(([size]) => amount >= size * 1e6) ?? [1, ""];
  const digits = amount >= unit * 100e6 ? 0 : amount >= unit * 10e6 ? 1 : 2;
  const scaled = floorDivide(amount, (unit * 1e6) / 10 ** digits) / 10 ** digits;
  return `${value < 0 ? MINUS : ""}${scaled.toFixed(digits)}${name}`;
}

/** A value of a rule's unit: $1.23M, 2.50%, 1,234. */
export function inUnit(unit, value) {
  if (!Number.isFinite(value)) return NONE;
  if (unit === "usd") return `$${shortUsd(value)}`;
  return unit === "percent" ? `${floored(value, value < 0.1 ? 4 : 2)}%` : count(value);
}

/** The same at the axis of a chart, where ticks are round. */
export const tickInUnit = (unit, tick) => (unit === "percent" ? `${tick}%` : unit === "usd" ? shortUsd(tick) : count(tick));

/** A price as it was traded; one that was computed, such as an average, with as many digits as mean something. */
function priceInFull(value) {
  if (!value) return NONE;
  const isTraded = String(value).length <= 12 && !String(value).includes("e");
  return (isTraded ? traded : computed).format(value);
}

const FIGURES = {
  price: priceInFull,
  usd: (value) => usd(value),
  count: (value) => count(value),
  percent: (value) => percent(value, 4),
  ratio: (value) => percent(value * 100, 4).replace("+", ""),
};

/** A value of a figure, as the worker lists it, with every digit that helps. */
export const inFull = ({ unit }, value) => (Number.isFinite(value) ? (FIGURES[unit] ?? String)(value) : NONE);

/** A name at the beginning of a line. */
export const capital = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;

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

/** How many trades are missing. */
export function missingText(missing) {
  return missing === 1 ? "1 trade is missing" : `${count(missing)} trades are missing`;
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

/** Where a worker is, without the scheme. */
export const host = (url) => url.replace(/^https?:\/\//, "");

let venueNames = {};

/** Take over what venues call themselves. */
export const nameVenues = (names) => (venueNames = names);

/** A venue as people say it: as it calls itself, else kraken_spot is kraken spot. */
export const venueName = (venue) => (Object.hasOwn(venueNames, venue) ? venueNames[venue] : venue.replaceAll("_", " "));

/** A number with so many decimals, rounded down. */
export const floored = (value, digits) => (floorDivide(micros(value), 10 ** (6 - digits)) / 10 ** digits).toFixed(digits);

const parts = (amount, threshold, many) => floorDivide(micros(amount) * many, micros(threshold)) / many;

/** How much of a threshold an amount is, rounded down: it never claims a severity that was not reached. */
export const share = (amount, threshold, digits = 0) =>
  Number.isFinite(amount) ? `${(parts(amount, threshold, 100 * 10 ** digits) * 100).toFixed(digits)}%` : NONE;

/** How often a threshold fits into an amount, rounded down to a tenth. */
export const multiple = (amount, threshold) => (Number.isFinite(amount) ? `${parts(amount, threshold, 10).toFixed(1)}×` : NONE);
