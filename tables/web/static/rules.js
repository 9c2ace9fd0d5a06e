// The rules as the worker lists them: how far a market has come with each, and what an alert says.

import { feed } from "./feed.js";
import { clock, inUnit, windowName } from "./format.js";
import { marketKey } from "./source.js";

/** A rule by name. Of one that is not in force here only its label is known, or its name. */
export function ruleOf(name) {
  const label = feed.hello?.rule_labels?.[name] ?? name.replaceAll("_", " ");
  return feed.hello?.rules?.find((rule) => rule.name === name) ?? { name, label };
}

let known = { hello: null, rows: new WeakMap() };

/**
 * Return how far a market has come with its rules.
 *
 * `judgements` has an entry for each rule. `furthest` is the rule that has reached the largest part of its threshold;
 * undefined without rules. `level` is the highest severity of the market's open episodes, 1 to 4; 0 without any. `tip`
 * says all of it in words. The result is kept with the row, since thousands are sorted and drawn several times a second.
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
    tip: byReach.map((one) => `${one.label}: ${progress(one)}${one.alert?.retracted ? ", alert retracted" : ""}`).join("\n"),
  };
}

function judged(told) {
  const rule = ruleOf(told.rule);
  // A worker of an earlier release does not say its steps. They are this one's, or all that is known is the threshold.
  const steps = told.steps?.length ? told.steps : rule.threshold === told.threshold ? rule.steps : [told.threshold];
  return {
    ...told,
    label: rule.label,
    // The owner's: it may have other settings than the worker that shows the page.
    window_seconds: told.window_seconds ?? feed.hello.rule_window,
    figure: feed.hello.figures?.find(({ name }) => name === rule.figure),
    steps,
    reach: (told.measured ?? NaN) / told.threshold,
    step: steps.filter((least) => told.measured >= least).length,
    level: told.alert?.open ? feed.hello.severities.indexOf(told.alert.severity) + 1 : 0,
  };
}

/** How far a rule has come, in words. */
export const progress = (one) =>
  `${inUnit(one.unit, one.measured)} of ${inUnit(one.unit, one.threshold)} in ${windowName(one.window_seconds)}`;

/** The class of an alert's severity, where it is shown. */
export const severityClass = (alert) => `${alert.alert_severity}${alert.retracted ? " retracted" : ""}`;

/** What an alert says, in one line: the worker's words. One of an earlier release sends none, and the rule's must do. */
export const alertSentence = (alert) => {
  const told = alert.sentence ?? alert.what ?? ruleOf(alert.rule).label;
  const lacking = shortage(alert);
  return told.includes(lacking) ? told : told + lacking;
};

/** What an alert's window lacks, in words: it may reach back before the first trade of its market that was counted. */
export function shortage(alert) {
  // A row of an earlier release does not say it. Its market does, as long as nobody began anew.
  const since = alert.covered_since ?? feed.rows.get(marketKey(alert))?.covered_since;
  return since && alert.window_start < since && alert.pane >= since ? `, of data since ${clock(since)}` : "";
}
