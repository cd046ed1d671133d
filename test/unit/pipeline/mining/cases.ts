/** Random queries with ranked lists and texts, rules with their defaults, and the choice: what the tests of mining share. */
import fc from "fast-check";
import { choose, type Selection, siftQuery } from "../../../../src/pipeline/mining/select.js";
import type { MiningRules, QueryCase, RankedList, TextIdentity } from "../../../../src/pipeline/mining/types.js";

/** Rules that drop judged passages only and take the first ten. */
export const PLAIN_RULES: MiningRules = {
  seed: 42,
  rangeMin: 0,
  rangeMax: undefined,
  ranksOver: "retrieved",
  marginTo: "worst",
  sampling: "top",
  temperature: 0.05,
  negativesPerQuery: 10,
  exclude: "annotated",
  excludeIdenticalTexts: true,
  excludeSameId: false,
  standIn: "none",
  fusion: "roundRobin",
  rrfK: 60,
  limits: [{}],
};

/** A list of passages with their scores, best first. */
export function list(...found: readonly (readonly [row: number, score: number])[]): RankedList {
  return {
    rows: Int32Array.from(found, ([row]) => row),
    scores: Float32Array.from(found, ([, score]) => score),
  };
}

/** A query with these lists; its positives are judged, too. */
export function query(
  lists: readonly RankedList[],
  positives: readonly number[] = [],
  judged: readonly number[] = [],
): QueryCase {
  return { queryRow: 3, lists, positives, annotated: new Set([...positives, ...judged]) };
}

/** Texts by passage row; the query's is "query". Hashes are as bad as they may be: the text's length. */
export function textsOf(text: (row: number) => string): TextIdentity {
  return {
    passageHash: (row) => text(row).length,
    queryHash: () => "query".length,
    isSamePassage: (row, other) => text(row) === text(other),
    isQueryText: (_, row) => text(row) === "query",
    isSameId: (queryRow, row) => queryRow === row,
  };
}

/** Every passage has a text of its own. */
export const DISTINCT: TextIdentity = textsOf((row) => `passage ${row}`);

/** The negatives of a query without a cross-encoder between the rules and the choice. */
export function selectNegatives(query: QueryCase, rules: MiningRules, texts: TextIdentity): Selection {
  return choose(siftQuery(query, rules, texts), rules);
}

const PASSAGES = 24;
/** Few different values, so that ties and scores exactly at a limit are common; negative ones, too. */
const score = fc.integer({ min: -4, max: 8 }).map((value) => value / 8);

const rankedList = fc
  .uniqueArray(fc.nat(PASSAGES - 1), { maxLength: 16 })
  .chain((rows) => fc.tuple(fc.constant(rows), fc.array(score, { minLength: rows.length, maxLength: rows.length })))
  .map(([rows, scores]) => {
    scores.sort((one, two) => two - one);
    return list(...rows.map((row, rank) => [row, scores[rank] as number] as const));
  });

const limit = fc.option(score, { nil: undefined });
const margin = fc.option(fc.constantFrom(0, 0.125, 0.25), { nil: undefined });
const limits = fc.record({ maxScore: limit, minScore: limit, absoluteMargin: margin, relativeMargin: margin });

/** Anything that mining may meet: one to three retrievers, some passages with equal texts, all rules in use. */
export const anyCase = fc
  .record({
    lists: fc.array(rankedList, { minLength: 1, maxLength: 3 }),
    positives: fc.uniqueArray(fc.nat(PASSAGES - 1), { maxLength: 4 }),
    judged: fc.uniqueArray(fc.nat(PASSAGES - 1), { maxLength: 4 }),
    tracked: fc.option(fc.array(score, { minLength: PASSAGES, maxLength: PASSAGES }), { nil: undefined }),
    texts: fc.array(fc.constantFrom("a", "b", "c", "query", "d", "eight", "seven", "other"), {
      minLength: PASSAGES,
      maxLength: PASSAGES,
    }),
    copies: fc.boolean(),
    limits: fc.array(limits, { minLength: 3, maxLength: 3 }),
    rules: fc.record({
      seed: fc.nat(3),
      rangeMin: fc.nat(3),
      rangeMax: fc.option(fc.integer({ min: 4, max: 12 }), { nil: undefined }),
      ranksOver: fc.constantFrom("retrieved", "unjudged", "kept"),
      marginTo: fc.constantFrom("worst", "best", "mean", 1, 2, 3),
      sampling: fc.constantFrom("top", "random", "weighted"),
      temperature: fc.constantFrom(0.05, 1),
      negativesPerQuery: fc.integer({ min: 1, max: 6 }),
      exclude: fc.constantFrom("annotated", "positives", "none"),
      excludeIdenticalTexts: fc.boolean(),
      excludeSameId: fc.boolean(),
      standIn: fc.constantFrom("none", "top"),
      fusion: fc.constantFrom("union", "roundRobin", "reciprocalRank"),
      rrfK: fc.constantFrom(1, 60),
    }),
  })
  .map(({ lists, positives, judged, tracked, texts, copies, limits, rules }) => {
    const pairs =
      tracked === undefined ? undefined : new Map(positives.map((row) => [row, Math.fround(tracked[row] as number)]));
    const found = lists.map((each, index) => (pairs === undefined || index > 0 ? each : { ...each, tracked: pairs }));
    return {
      query: query(found, positives, judged),
      rules: { ...rules, limits: limits.slice(0, lists.length) } as MiningRules,
      texts: copies ? textsOf((row) => texts[row] as string) : DISTINCT,
    };
  });
