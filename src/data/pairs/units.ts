/** Cuts pairs into units of work: the pairs of a few queries, gathered only when a worker takes them. */
import type { TextTable } from "../types.js";
import { asMessage, type TextUnits } from "../units.js";
import { gatherPairs } from "./texts.js";

/** Pairs by their rows, in the order in which they are numbered. */
export interface PairRows {
  readonly queryRows: Int32Array;
  readonly passageRows: Int32Array;
}

/**
 * Units of at most `unitSize` of the chosen pairs, in order; a query's pairs stay together where they fit.
 *
 * @param numbers which pairs are to be scored, ascending; they are what a unit's rows are
 * @example
 * pairUnits(source, pairs, missing, 256).id(3); // "pairs-3"
 */
export function pairUnits(
  tables: { readonly queries: TextTable; readonly passages: TextTable },
  pairs: PairRows,
  numbers: Int32Array,
  unitSize: number,
): TextUnits {
  const starts = cut(pairs.queryRows, numbers, unitSize);
  const rows = (index: number): Int32Array => numbers.subarray(starts[index], starts[index + 1]);
  return {
    count: starts.length - 1,
    id: (index) => `pairs-${index}`,
    rowCount: (index) => rows(index).length,
    rows,
    frame: (index) => {
      const own = rows(index);
      const pick = (from: Int32Array): Int32Array => own.map((number) => from[number] as number);
      const frame = gatherPairs(tables, pick(pairs.queryRows), pick(pairs.passageRows), own);
      return asMessage(frame, `${own.length} pairs`);
    },
  };
}

/** Where each unit begins among the numbers, and their end. */
function cut(queryRows: Int32Array, numbers: Int32Array, unitSize: number): number[] {
  const starts = [0];
  let start = 0;
  let at = 0;
  while (at < numbers.length) {
    const query = queryRows[numbers[at] as number];
    let end = at + 1;
    while (end < numbers.length && queryRows[numbers[end] as number] === query) end += 1;
    // A query that does not fit beside those before it begins a unit; one that fits into none is cut.
    if (end - start > unitSize && at > start) {
      starts.push(at);
      start = at;
    }
    while (end - start > unitSize) {
      start += unitSize;
      starts.push(start);
    }
    at = end;
  }
  if (numbers.length > start) starts.push(numbers.length);
  return starts;
}
