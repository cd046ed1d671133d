/** Mining said once more, slowly and in other words: what the fast way is compared with. */
import { Draws } from "../../../../src/data/index.js";
import type { RescoreRules } from "../../../../src/pipeline/mining/rescore.js";
import type { MiningRules, QueryCase, RankedList, TextIdentity } from "../../../../src/pipeline/mining/types.js";

/** Rows of a query's negatives in order, and how many candidates the rules left. */
export interface SlowResult {
  readonly negatives: number[];
  readonly left: number[];
}

interface Passage {
  readonly row: number;
  score: number;
  rank: number;
}

const isListed = (list: RankedList, row: number): boolean => list.rows.includes(row);
const listed = (list: RankedList, row: number): number => list.scores[list.rows.indexOf(row)] as number;

/** A cross-encoder: its rules, and its score of each passage. */
export interface SlowRescore {
  readonly rules: RescoreRules;
  readonly score: (row: number) => number;
}

export function slowNegatives(
  query: QueryCase,
  rules: MiningRules,
  texts: TextIdentity,
  rescore?: SlowRescore,
): SlowResult {
  let pool = order(query.lists, rules).map(({ row, score }, rank): Passage => ({ row, score, rank }));
  let { positives } = query;

  const isExcluded = (row: number): boolean => {
    if (rules.exclude === "annotated" && query.annotated.has(row)) return true;
    if (rules.exclude !== "none" && positives.includes(row)) return true;
    if (rules.excludeSameId && texts.isSameId(query.queryRow, row)) return true;
    if (!rules.excludeIdenticalTexts) return false;
    if (texts.isQueryText(query.queryRow, row)) return true;
    return rules.exclude !== "none" && positives.some((other) => other !== row && texts.isSamePassage(row, other));
  };
  pool = pool.filter(({ row }) => !isExcluded(row));
  if (rules.excludeIdenticalTexts) {
    pool = pool.filter(({ row }, at) => !pool.slice(0, at).some((before) => texts.isSamePassage(row, before.row)));
  }
  if (positives.length === 0 && rules.standIn === "top" && pool.length > 0) {
    positives = [(pool[0] as Passage).row];
    pool = pool.slice(1);
  }
  const count = (): void => {
    pool.forEach((passage, rank) => {
      passage.rank = rank;
    });
  };
  const cut = (): void => {
    pool = pool.filter(({ rank }) => rank >= rules.rangeMin && rank < (rules.rangeMax ?? 1e9));
  };
  if (rules.ranksOver === "unjudged") count();
  if (rules.ranksOver !== "kept") cut();
  pool = pool.filter(({ row }) =>
    query.lists.every(
      (list, index) => !isListed(list, row) || isWithin(list, index, listed(list, row), positives, rules),
    ),
  );
  if (rescore !== undefined) {
    pool = pool.slice(0, rescore.rules.topK);
    // A list that holds everything: the cross-encoder's, on which no positive is unknown.
    const everything = [...new Set([...positives, ...pool.map(({ row }) => row)])];
    const list = { rows: Int32Array.from(everything), scores: Float32Array.from(everything, rescore.score) };
    const limits = { ...rules, limits: [rescore.rules] };
    pool = pool.filter(({ row }) => isWithin(list, 0, rescore.score(row), positives, limits));
    if (rescore.rules.orderBy === "crossEncoder") {
      for (const passage of pool) passage.score = rescore.score(passage.row);
      pool = pool.toSorted((one, two) => two.score - one.score);
    }
  }
  if (rules.ranksOver === "kept") {
    count();
    cut();
  }
  return { left: pool.map(({ row }) => row), negatives: pick(pool, query.queryRow, rules) };
}

/** Tries every score that an unknown positive may have: a candidate passes when it passes for all of them. */
function isWithin(
  list: RankedList,
  index: number,
  score: number,
  positives: readonly number[],
  rules: MiningRules,
): boolean {
  const { maxScore = Infinity, minScore = -Infinity, absoluteMargin, relativeMargin } = rules.limits[index] ?? {};
  if (score > maxScore || score < minScore) return false;
  if (positives.length === 0 || (absoluteMargin ?? relativeMargin) === undefined) return true;
  const bound = list.scores.length === 0 ? 0 : (list.scores.at(-1) as number);
  const known = positives.map((row) => (isListed(list, row) ? listed(list, row) : list.tracked?.get(row)));
  return [bound, bound - 1, bound - 1e6].every((guess) => {
    const all = known.map((each) => each ?? guess).sort((one, two) => two - one);
    const from = margin(all, rules.marginTo);
    const isSure =
      known.every((each) => each !== undefined) ||
      from ===
        margin(
          known.map((each) => each ?? bound - 2e6).sort((one, two) => two - one),
          rules.marginTo,
        );
    if (!isSure) return false;
    if (absoluteMargin !== undefined && score > from - absoluteMargin) return false;
    return relativeMargin === undefined || score <= from - Math.abs(from) * relativeMargin;
  });
}

function margin(descending: readonly number[], to: MiningRules["marginTo"]): number {
  if (to === "mean") return descending.reduce((sum, each) => sum + each, 0) / descending.length;
  if (to === "best") return descending[0] as number;
  if (to === "worst") return descending.at(-1) as number;
  return (descending[to - 1] ?? descending.at(-1)) as number;
}

function order(lists: readonly RankedList[], { fusion, rrfK }: MiningRules): { row: number; score: number }[] {
  const [only] = lists;
  if (only !== undefined && lists.length === 1) return [...only.rows].map((row) => ({ row, score: listed(only, row) }));
  const rows = [...new Set(lists.flatMap(({ rows: found }) => [...found]))];
  const rank = (list: RankedList, row: number): number => (isListed(list, row) ? list.rows.indexOf(row) : 1e9);
  const best = (row: number): number => Math.min(...lists.map((list) => rank(list, row)));
  const firstBest = (row: number): number => lists.findIndex((list) => rank(list, row) === best(row));
  const byRank = (one: number, two: number): number => best(one) - best(two) || firstBest(one) - firstBest(two);
  if (fusion === "union") return rows.sort(byRank).map((row, place) => ({ row, score: 1 / (place + 1) }));
  if (fusion === "reciprocalRank") {
    const sum = (row: number): number =>
      lists.reduce((total, list) => total + (isListed(list, row) ? 1 / (rrfK + rank(list, row) + 1) : 0), 0);
    return rows.sort((one, two) => sum(two) - sum(one) || byRank(one, two)).map((row) => ({ row, score: sum(row) }));
  }
  const given: number[] = [];
  for (let turn = 0; given.length < rows.length; turn += 1) {
    const next = [...(lists[turn % lists.length] as RankedList).rows].find((row) => !given.includes(row));
    if (next !== undefined) given.push(next);
  }
  return given.map((row, place) => ({ row, score: 1 / (place + 1) }));
}

/** Draws as the seed says, but by lottery: the numbers are the same, the way to the winners is not. */
function pick(pool: readonly Passage[], queryRow: number, rules: MiningRules): number[] {
  const wanted = rules.negativesPerQuery;
  const rows = pool.map(({ row }) => row);
  if (rules.sampling === "top" || pool.length <= wanted) return rows.slice(0, wanted);
  const draws = new Draws(rules.seed, 0, queryRow, 9);
  const chosen: number[] = [];
  if (rules.sampling === "random") {
    const left = [...rows];
    for (let place = 0; place < wanted; place += 1) {
      const other = place + draws.below(left.length - place);
      [left[place], left[other]] = [left[other] as number, left[place] as number];
    }
    chosen.push(...left.slice(0, wanted));
  } else {
    const keys = pool.map(({ row, score }) => ({
      row,
      key: score / rules.temperature - Math.log(-Math.log(draws.unit())),
    }));
    while (chosen.length < wanted) {
      const open = keys.filter(({ row }) => !chosen.includes(row));
      const largest = Math.max(...open.map(({ key }) => key));
      chosen.push((open.find(({ key }) => key === largest) as { row: number }).row);
    }
  }
  return rows.filter((row) => chosen.includes(row));
}
