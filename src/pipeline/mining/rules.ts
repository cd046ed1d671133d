/** The rules that say which candidates are no negatives, each with the name that the report counts it under. */
import { type PositiveScores, reference } from "./reference.js";
import type {
  Candidate,
  DropCounts,
  DropReason,
  MarginTo,
  MiningRules,
  QueryCase,
  ScoreLimits,
  TextIdentity,
} from "./types.js";

/** Says no to a candidate by giving the reason. Rules are asked in order of rank. */
export type Rule = (candidate: Candidate) => DropReason | null;

/** What passages are: judged ones, the query itself, copies of positives and of candidates before them. */
export function identityRules(query: QueryCase, rules: MiningRules, texts: TextIdentity): Rule[] {
  const found: Rule[] = [];
  const positives = new Set(query.positives);
  const unwanted = rules.exclude === "annotated" ? query.annotated : positives;
  if (rules.exclude !== "none") {
    found.push(({ row }) => (unwanted.has(row) || positives.has(row) ? "annotated" : null));
  }
  if (rules.excludeSameId) found.push(({ row }) => (texts.isSameId(query.queryRow, row) ? "sameId" : null));
  if (rules.excludeIdenticalTexts) found.push(...textRules(query, texts, rules.exclude === "none"));
  return found;
}

function textRules({ queryRow, positives }: QueryCase, texts: TextIdentity, keepsPositives: boolean): Rule[] {
  const own = texts.queryHash(queryRow);
  const positiveHashes = new Map<number, number[]>();
  for (const row of positives) append(positiveHashes, texts.passageHash(row), row);
  const seen = new Map<number, number[]>();
  const isCopy = (known: ReadonlyMap<number, number[]>, hash: number, row: number): boolean =>
    known.get(hash)?.some((other) => other !== row && texts.isSamePassage(row, other)) === true;
  return [
    ({ row }) => {
      const hash = texts.passageHash(row);
      if (hash === own && texts.isQueryText(queryRow, row)) return "queryText";
      if (!keepsPositives && isCopy(positiveHashes, hash, row)) return "positiveText";
      if (isCopy(seen, hash, row)) return "repeatedText";
      append(seen, hash, row);
      return null;
    },
  ];
}

function append(rows: Map<number, number[]>, hash: number, row: number): void {
  const known = rows.get(hash);
  if (known === undefined) rows.set(hash, [row]);
  else known.push(row);
}

/** Limits on one retriever's scores, for the candidates that it found. `retriever` is its number. */
export function scoreRules(
  retriever: number,
  limits: ScoreLimits,
  positives: PositiveScores,
  marginTo: MarginTo,
): Rule[] {
  const names = {
    maxScore: "maxScore",
    minScore: "minScore",
    absoluteMargin: "absoluteMargin",
    relativeMargin: "relativeMargin",
  } as const;
  return limitRules(({ scores }) => scores[retriever], limits, positives, marginTo, names);
}

/** A user's own rule, where there is one. */
export function filterRules(queryRow: number, { accepts }: MiningRules): Rule[] {
  return accepts === undefined ? [] : [({ row, score }) => (accepts(queryRow, row, score) ? null : "filter")];
}

type Names = Readonly<Record<keyof ScoreLimits, DropReason>>;

/** The four limits on a score; a candidate without one passes, and so does one that lies exactly at a limit. */
export function limitRules(
  scoreOf: (candidate: Candidate) => number | undefined,
  limits: ScoreLimits,
  positives: PositiveScores,
  marginTo: MarginTo,
  names: Names,
): Rule[] {
  const { maxScore, minScore, absoluteMargin, relativeMargin } = limits;
  const found: Rule[] = [];
  const when = (reason: DropReason, isRefused: (score: number) => boolean): void => {
    found.push((candidate) => {
      const score = scoreOf(candidate);
      return score !== undefined && isRefused(score) ? reason : null;
    });
  };
  // Scores are float32: 0.7 is 0.699999988, which minScore 0.7 must keep.
  const above = (limit: number) => {
    const most = Math.fround(limit);
    return (score: number): boolean => score > most;
  };
  if (maxScore !== undefined) when(names.maxScore, above(maxScore));
  if (minScore !== undefined) {
    const least = Math.fround(minScore);
    when(names.minScore, (score) => score < least);
  }
  const hasMargin = absoluteMargin !== undefined || relativeMargin !== undefined;
  if (!hasMargin || positives.scores.length === 0) return found;
  const from = reference(positives, marginTo);
  if (from === undefined) {
    when("unknownPositive", () => true);
    return found;
  }
  if (absoluteMargin !== undefined) when(names.absoluteMargin, above(from - absoluteMargin));
  // A share of the magnitude: of a negative score, 1 - margin times would lie above it.
  if (relativeMargin !== undefined) when(names.relativeMargin, above(from - Math.abs(from) * relativeMargin));
  return found;
}

/** Those that no rule refuses, in order; the others are counted in `dropped`. */
export function sift(candidates: readonly Candidate[], rules: readonly Rule[], dropped: DropCounts): Candidate[] {
  return candidates.filter((candidate) => {
    for (const rule of rules) {
      const reason = rule(candidate);
      if (reason === null) continue;
      dropped[reason] = (dropped[reason] ?? 0) + 1;
      return false;
    }
    return true;
  });
}
