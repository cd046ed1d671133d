/** Which judgements make a positive: those above 0, where the score that counts is that of the merged sources. */
import type { SourceConfig } from "../../experiment/schema.js";
import { listFiles } from "../source-files.js";
import type { TextPool } from "../texts/text-pool.js";
import type { MergedQrels, Side } from "./merged.js";
import { QueryLinks } from "./query-links.js";
import type { StoredQrels } from "./stored-qrels.js";

/** The smallest score above 0 that float32 holds. */
const LEAST_SCORE = 2 ** -149;

/** The kinds of views with a side of positives. */
export type PositivesOf = "binary" | "scored";

/** Whether all that a source's options leave are positives, whatever their scores: its minScore or its files say so. */
export function namesPositives({ minScore, qrels }: SourceConfig): boolean {
  const files = qrels === undefined ? [] : listFiles(qrels);
  // Teachers may score a positive below 0; the files that hold their scores tell positives apart by themselves.
  return minScore !== undefined || (files.length > 0 && files.every(({ part }) => part === "positives"));
}

/** What is judged 0 or less is no positive, unless the source names them. */
export function onlyRelevant(source: SourceConfig): SourceConfig {
  return namesPositives(source) ? source : { ...source, minScore: LEAST_SCORE };
}

/**
 * A source of positives with what its view asks of their scores. Those of a scored view may be a teacher's logits, which
 * are below 0 for a true positive as well: nothing is asked of them. A fraction below 0 tells them from grades, where 0
 * (and -2 in some of TREC's) means irrelevant.
 */
export function positivesOf(view: PositivesOf, source: SourceConfig, { lowest }: StoredQrels): SourceConfig {
  const isTeachers = view === "scored" && lowest.some((score) => score < 0 && !Number.isInteger(score));
  return isTeachers ? source : onlyRelevant(source);
}

/**
 * Takes from each side the pairs that the merge calls irrelevant. Of queries that nobody disputes only the lowest score
 * is read.
 */
export function overrule(queries: TextPool, sides: readonly Side[], merged: MergedQrels): void {
  // The highest score of a pair is above 0 as soon as one of them is.
  if (merged.rule === "max" || sides.every(({ judged }) => judged === undefined)) return;
  const linked = sides.map((side) => ({ ...side, links: new QueryLinks(queries, side.queries) }));
  const isDisputed = (query: number): boolean => {
    let judgingCount = 0;
    let hasIrrelevant = false;
    for (const { qrels, judged, links } of linked) {
      const row = links.rowOf(query);
      if (row === -1 || qrels.parts.stored.countOf(row) === 0) continue;
      judgingCount += 1;
      const lowest = qrels.parts.stored.lowest[row] as number;
      hasIrrelevant ||= judged?.isInside(lowest) === true && !qrels.isInside(lowest);
    }
    return judgingCount > 1 && hasIrrelevant;
  };
  // A query's judgements are asked for several times in a row.
  let last = -1;
  let out: ReadonlySet<number> = new Set();
  for (const { qrels, links, passageOffset } of linked) {
    qrels.leaveOut((queryRow) => {
      const query = links.numberOf(queryRow);
      if (query !== last) out = isDisputed(query) ? merged.irrelevant(query) : new Set();
      last = query;
      const irrelevant = out;
      return irrelevant.size === 0 ? null : (passageRow) => irrelevant.has(passageRow + passageOffset);
    });
  }
}
