// The rules as the worker lists them: how far a market has come with each, and how what they measure is written.

import { feed } from "./feed.js";
import { NONE, count, floored, multiple, shortUsd, windowName } from "./format.js";

/** A rule by name. Of one that is not in force any more only the name is known. */
export function ruleOf(name) {
  return feed.hello?.rules?.find((rule) => rule.name === name) ?? { name, label: name.replaceAll("_", " ") };
}

/** What a rule measures, or its threshold, with its unit: $1.23M, 2.50%, 1,234. */
export function amount(unit, value) {
  if (!Number.isFinite(value)) return NONE;
  if (unit === "usd") return `$${shortUsd(value)}`;
  return unit === "percent" ? `${floored(value, value < 0.1 ? 4 : 2)}%` : count(value);
}

let known = { hello: null, rows: new WeakMap() };

/**
 * Where a market stands with its rules: `judgements`, one a rule; `furthest`, the one of which most of the threshold is
 * reached, if any; `level`, the highest severity of its open episodes, 1 to 4, or 0; and `tip`, all of it in words.
 *
 * Worked out once a row: thousands are sorted and drawn several times a second.
 */
export function standing(row) {
  if (known.hello !== feed.hello) known = { hello: feed.hello, rows: new WeakMap() };
  let found = known.rows.get(row);
  if (!found) {
    found = stand(row);
    known.rows.set(row, found);
  }
  return found;
}

function stand(row) {
  // A worker of an earlier release knows of one rule a market, in USD.
  const told = row.judgements ?? [{ rule: row.rule, unit: "usd", threshold: row.threshold_usd, measured: row.amount_usd, alert: row.mark }];
  const judgements = told.map(judged);
  const byReach = judgements.toSorted((a, b) => (b.reach || 0) - (a.reach || 0));
  return {
    judgements,
    furthest: byReach[0],
    level: Math.max(0, ...judgements.map((one) => one.level)),
    tip: byReach.map((one) => `${one.label}: ${progress(one)}`).join("\n"),
  };
}

function judged(told) {
  const rule = ruleOf(told.rule);
  const steps = rule.threshold === told.threshold ? rule.steps : feed.hello.multiples.map((times) => times * told.threshold);
  return {
    ...told,
    label: rule.label,
    figure: rule.figure,
    steps,
    reach: (told.measured ?? NaN) / told.threshold,
    step: steps.filter((least) => told.measured >= least).length,
    level: told.alert?.open ? feed.hello.severities.indexOf(told.alert.severity) + 1 : 0,
  };
}

/** How far a rule has come, in words. */
export const progress = (one) => `${amount(one.unit, one.measured)} of ${amount(one.unit, one.threshold)}`;

/** What an alert says, in one line. The worker has the words; an earlier release had none. */
export function alertSentence(alert) {
  const times = alert.measured && alert.threshold ? `, ${multiple(alert.measured, alert.threshold)} threshold` : "";
  const end = alert.retracted ? ", taken back by later trades" : "";
  return `${alert.what ?? ruleOf(alert.rule).label} in ${windowName(alert.window_seconds)}${times}${end}`;
}
