/** What is known of the data before any model loads: faults, answers that leak, negatives that are none. */
import { counted } from "../../counted.js";
import { prepareSource } from "../../data/index.js";
import type { CheckReport } from "../../data/inspect/check.js";
import { type InspectedData, isEvaluated } from "../../data/inspect/inspected.js";
import { openSource } from "../../data/source.js";
import type { DataContext, TextTable, TrainingSet } from "../../data/types.js";
import { formatCount } from "../../report/format.js";
import { type CheckStatus, check, type DoctorCheck } from "./types.js";

/** Groups whose negatives are looked at. */
const MOST_GROUPS = 2_000;

/** The faults that `quarry data check` lists, one line each. */
export function checkFaults({ faults, problems, sources }: CheckReport): DoctorCheck[] {
  const opened = problems.map(({ option, message, hint }) =>
    check("data", option, "refuse", message.split("\n")[0] ?? message, { todo: hint }),
  );
  const found = faults.map(({ kind, subject, words: [one, many], count, policy, hint }) => {
    const status: CheckStatus = policy === "error" ? "refuse" : policy === "warn" ? "note" : "ok";
    const seen = `${subject}: ${counted(count, many, one)}`;
    return check("data", kind, status, seen, { todo: status === "ok" ? null : hint, facts: { count, policy } });
  });
  if (opened.length + found.length > 0) return [...opened, ...found];
  const all = sources.map(
    ({ passages, queries }) => `${counted(passages, "passages")}, ${counted(queries, "queries")}`,
  );
  return [
    check("data", "faults", "ok", `none in ${counted(sources.length, "sources")}: ${[...new Set(all)].join("; ")}`),
  ];
}

/** Judged queries of evaluations whose very text is trained on. */
export async function checkLeakage(data: InspectedData, context: DataContext): Promise<DoctorCheck[]> {
  const evaluated = data.searched.filter(({ path }) => isEvaluated(path));
  const trained = data.sources.filter(([option]) => option.startsWith("train.data") && !option.includes(".negatives"));
  if (evaluated.length === 0 || trained.length === 0) return [];
  // Many queries may share one text.
  const known = new Set<string>();
  for (const [, source] of trained) {
    const { queries, qrels, close } = await openSource(source, context);
    if (queries !== null) for (const row of qrels?.queryRows ?? []) known.add(wholeText(queries, row));
    close();
  }
  const checks: DoctorCheck[] = [];
  for (const { path, data: searched } of evaluated) {
    const { queries, qrels, close } = await prepareSource(searched, context);
    const rows = qrels?.queryRows ?? new Int32Array(0);
    const leaked = [...rows].filter((row) => known.has(wholeText(queries, row)));
    const named = leaked.slice(0, 3).map((row) => queries.id(row));
    close();
    checks.push(leakage(path, leaked.length, rows.length, named));
  }
  return checks;
}

function wholeText(table: Pick<TextTable, "title" | "text">, row: number): string {
  return `${table.title(row)}\0${table.text(row)}`;
}

function leakage(path: string, leaked: number, all: number, named: readonly string[]): DoctorCheck {
  const facts = { leaked, queries: all };
  if (leaked === 0) {
    const seen = `none of ${formatCount(all)} judged queries of ${path} is trained on`;
    return check("data", "leakage", "ok", seen, { facts });
  }
  const seen = `${formatCount(leaked)} of ${formatCount(all)} judged queries of ${path} ${leaked === 1 ? "is" : "are"} trained on, e.g. ${named.join(", ")}`;
  const todo = "Leave them out of the training, or report them apart.";
  return check("data", "leakage", "note", seen, { todo, facts });
}

/**
 * Negatives that are no negatives: a text that is a known positive of the query, under another id or the same.
 *
 * @param refreshed parts that get theirs while the model trains: too few before that are no fault
 */
export function checkNegatives(set: TrainingSet, refreshed: readonly number[]): DoctorCheck | null {
  if (set.passagesPerQuery === 1) return null;
  const groups = Math.min(MOST_GROUPS, set.queryCount);
  const seen = { negatives: 0, false: 0, short: 0, example: "" };
  for (let index = 0; index < groups; index += 1) {
    const group = set.group(index, 0);
    if (group.count < set.passagesPerQuery && !refreshed.includes(group.part)) seen.short += 1;
    const positives = set.knownPositives(group.query);
    for (const row of group.passages.subarray(1, group.count)) {
      if (set.isKnownPositive(group.query, row)) continue;
      seen.negatives += 1;
      const hash = set.textHash(row);
      const isFalse = [...positives].some((other) => set.textHash(other) === hash && set.isSameText(row, other));
      if (!isFalse) continue;
      seen.false += 1;
      seen.example ||= `${set.passageId(row)} of query ${set.queryId(group.query)}`;
    }
  }
  const facts = { ...seen, groups };
  const among = `${counted(seen.negatives, "negatives")} of ${counted(groups, "groups")}`;
  if (seen.false > 0) {
    const words = `${formatCount(seen.false)} of ${among} ${seen.false === 1 ? "has" : "have"} the text of a positive, e.g. ${seen.example}`;
    const todo =
      "Mine again with mine.excludeIdenticalTexts, or take such copies out of the negatives; only losses with a mask leave them out.";
    return check("data", "false negatives", "note", words, { todo, facts });
  }
  if (seen.short > 0) {
    const words = `${formatCount(seen.short)} of ${counted(groups, "groups")} ${seen.short === 1 ? "has" : "have"} fewer than ${counted(set.passagesPerQuery, "passages")}`;
    const todo = "Mine more negatives, lower negativesPerQuery, or let tooFew say what is done.";
    return check("data", "negatives", "note", words, { todo, facts });
  }
  return check("data", "false negatives", "ok", `none of ${among} has the text of a positive`, { facts });
}
