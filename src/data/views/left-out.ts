/** Queries that form no group, or too small a one: counted, the first ten named, judged by the experiment's policy. */
import { QuarryError } from "../../errors.js";
import { EXAMPLE_LIMIT } from "../failures.js";
import { type Example, type Finding, judge } from "../findings.js";
import type { MergedQrels } from "../qrels/merged.js";
import { QueryLinks } from "../qrels/query-links.js";
import { keepRows } from "../rows.js";
import type { TextPool } from "../texts/text-pool.js";
import type { DataContext } from "../types.js";

const HINT = "Check that positives and negatives judge the same queries, and widen minScore and maxScore";

/** What a judgement has to say to make a positive where no option asks for anything. */
const ASKED = {
  binary: "; without minScore only judgements above 0 are positives",
  scored: "",
  multiLevel: "; a group needs a label above 0, as scoreTransform makes it",
} as const;

/** Queries with a judgement before any step but querySubset, ascending. */
export function judgedQueries({ queries, sides }: MergedQrels): Int32Array {
  const isJudged = new Uint8Array(queries.rowCount);
  for (const { qrels, queries: table } of sides) {
    const { subset, stored } = qrels.parts;
    const { offsets } = stored;
    const links = new QueryLinks(queries, table);
    const count = subset?.length ?? stored.queryCount;
    for (let at = 0; at < count; at += 1) {
      const row = subset === null ? at : (subset[at] as number);
      if (offsets[row + 1] === offsets[row]) continue;
      isJudged[links.numberOf(row)] = 1;
    }
  }
  const numbers = new Int32Array(isJudged.length);
  let count = 0;
  for (let number = 0; number < isJudged.length; number += 1) {
    if (isJudged[number] !== 1) continue;
    numbers[count] = number;
    count += 1;
  }
  return numbers.slice(0, count);
}

/** Judged queries that can form no group. */
export interface LeftOut {
  readonly judgedCount: number;
  readonly withoutPositives: Int32Array;
  readonly withoutOthers: Int32Array;
}

/**
 * Says which queries are left out.
 *
 * @param name what messages call the data.
 * @param kind of the view.
 * @throws QuarryError DATA when no query is left, or where the policy says `error`.
 */
export function tellLeftOut(
  { name, kind }: { readonly name: string; readonly kind: keyof typeof ASKED },
  out: LeftOut,
  left: number,
  queries: TextPool,
  context: DataContext,
): void {
  const { judgedCount, withoutPositives, withoutOthers } = out;
  const reasons: string[] = [];
  if (withoutPositives.length > 0) reasons.push(`${shown(withoutPositives.length)} without a positive`);
  if (withoutOthers.length > 0) reasons.push(`${shown(withoutOthers.length)} without a passage beside it`);
  const why = reasons.join(", ");
  const hint = `${HINT}${withoutPositives.length > 0 ? ASKED[kind] : ""}.`;
  if (left === 0) {
    const message = `${name}: no query can form a group${why === "" ? "" : `: ${why}`}.`;
    throw new QuarryError("DATA", message, { hint });
  }
  const of = `of ${shown(judgedCount)} cannot form a group and are left out (${why})`;
  const detail = (reason: string) => (number: number) => `query ${JSON.stringify(queries.id(number))} ${reason}`;
  const finding: Finding = {
    kind: "withoutPositives",
    subject: name,
    words: [`query ${of}`, `queries ${of}`],
    count: withoutPositives.length + withoutOthers.length,
    examples: [
      ...examplesOf(withoutPositives, queries, detail("has no positive")),
      ...examplesOf(withoutOthers, queries, detail("has no passage beside its positive")),
    ].slice(0, EXAMPLE_LIMIT),
    hint,
  };
  judge(context, finding);
}

/**
 * What the option tooFew: "error" asks for.
 *
 * @param sizeOf passages that a query's group would have.
 * @throws QuarryError DATA when there are too few for some; a mere check is only told.
 */
export function refuseTooFew(
  name: string,
  eligible: Int32Array,
  sizeOf: (query: number) => number,
  passagesPerQuery: number,
  queries: TextPool,
  context: DataContext,
): void {
  const short = keepRows(eligible, (query) => sizeOf(query) < passagesPerQuery);
  const words = `fewer than ${passagesPerQuery} passages for a group`;
  judge(context, {
    kind: "tooFew",
    subject: name,
    words: [`query has ${words}`, `queries have ${words}`],
    count: short.length,
    examples: examplesOf(short, queries, (query) => `query ${JSON.stringify(queries.id(query))}: ${sizeOf(query)}`),
    hint: 'Set tooFew to "fewer" or "cycle", ask for fewer passages per query, or widen the filters.',
  });
}

function examplesOf(numbers: Int32Array, queries: TextPool, detail: (number: number) => string): Example[] {
  return Array.from(numbers.subarray(0, EXAMPLE_LIMIT), (number) => {
    const { file, line } = queries.origin(number);
    return { place: `${file}:${line}`, detail: detail(number) };
  });
}

function shown(count: number): string {
  return count.toLocaleString("en-US");
}
