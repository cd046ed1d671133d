/** Cuts a step's groups into the shares of ranks and micro-steps, with the columns and the mask that a loss needs. */
import type { Group, MicroBatch, TrainingSet } from "./types.js";

/** Which part of a step's groups: micro-step m of rank r takes `queriesPerRank` groups from (m × worldSize + r) on. */
export interface Share {
  readonly rank: number;
  readonly worldSize: number;
  readonly microStep: number;
  readonly accumulationSteps: number;
  readonly queriesPerRank: number;
}

/** Why a column does not count as a negative of a query: bits of the mask. Which of them hold depends on the loss. */
export const MASKED = {
  /** A known positive of the query or a copy of one, or a padding. */
  always: 1,
  /** The passage has another column that counts, among those of all ranks. */
  repeat: 2,
  /** It has one among those of the column's own rank. */
  rankRepeat: 4,
  /** The text has a column in the query's own group. */
  ownRepeat: 8,
} as const;

/** Whether a column with these bits is masked for a loss that looks at all ranks' columns, as most do. */
export function isMasked(bits: number): boolean {
  return (bits & (MASKED.always | MASKED.repeat)) !== 0;
}

/**
 * One rank's micro-batch. Columns are the passages of all ranks in this micro-step, rank by rank.
 *
 * A column is masked for a query when its passage is a known positive of the query or a copy of one, when the same
 * passage has a column already (it counts once), and when it is a padding. The column of the query's own positive is
 * never masked.
 *
 * @param groups of the whole step, as planStep gives them.
 * @throws RangeError when the groups are not worldSize × accumulationSteps × queriesPerRank.
 */
export function buildMicroBatch(set: TrainingSet, groups: readonly Group[], share: Share): MicroBatch {
  const { rank, worldSize, microStep, accumulationSteps, queriesPerRank } = share;
  if (groups.length !== worldSize * accumulationSteps * queriesPerRank) {
    throw new RangeError(`${groups.length} groups, not ${worldSize} × ${accumulationSteps} × ${queriesPerRank}`);
  }
  if (rank >= worldSize || microStep >= accumulationSteps) throw new RangeError("no such rank or micro-step");
  const perQuery = set.passagesPerQuery;
  const first = microStep * worldSize * queriesPerRank;
  const columns = columnsOf(set, groups, share);
  const own = groups.slice(first + rank * queriesPerRank, first + (rank + 1) * queriesPerRank);
  const start = rank * queriesPerRank * perQuery;
  const passageRows = columns.passages.slice(start, start + queriesPerRank * perQuery);
  const labels = new Float32Array(passageRows.length);
  for (const [at, group] of own.entries()) labels.set(group.labels, at * perQuery);
  const queryRows = Int32Array.from(own, ({ query }) => query);
  const positiveColumns = Int32Array.from(own, (_, at) => start + at * perQuery);
  return {
    queries: set.gatherQueries(queryRows),
    passages: set.gatherPassages(passageRows),
    positiveColumns,
    ...buildMask(set, own, positiveColumns, columns),
    labels,
    counts: Int32Array.from(own, ({ count }) => count),
    sources: Int32Array.from(own, ({ part }) => part),
    queryCount: queriesPerRank,
    passagesPerQuery: perQuery,
    columnCount: columns.passages.length,
    queryRows,
    passageRows,
  };
}

/** What the ranks of a micro-step share. */
interface Columns {
  readonly passages: Int32Array;
  readonly queriesPerRank: number;
  /** What is masked for every query: paddings and repeats. */
  readonly marks: Uint8Array;
  /** The columns by the hashes of their texts: the last one with a hash, and the one before each, -1 for none. */
  readonly lastOf: ReadonlyMap<number, number>;
  readonly before: Int32Array;
}

/** The columns of a step's micro-steps, by their first group: each rank asks for the same ones. */
const known = new WeakMap<readonly Group[], Map<number, Columns>>();

function columnsOf(set: TrainingSet, groups: readonly Group[], share: Share): Columns {
  const { worldSize, microStep, queriesPerRank } = share;
  const perQuery = set.passagesPerQuery;
  const count = worldSize * queriesPerRank;
  const first = microStep * count;
  const ofStep = known.get(groups) ?? new Map<number, Columns>();
  known.set(groups, ofStep);
  const kept = ofStep.get(first);
  if (kept?.passages.length === count * perQuery && kept.queriesPerRank === queriesPerRank) return kept;
  const passages = new Int32Array(count * perQuery);
  for (let at = 0; at < count; at += 1) passages.set((groups[first + at] as Group).passages, at * perQuery);
  const lastOf = new Map<number, number>();
  const before = new Int32Array(passages.length);
  for (let column = 0; column < passages.length; column += 1) {
    const hash = set.textHash(passages[column] as number);
    before[column] = lastOf.get(hash) ?? -1;
    lastOf.set(hash, column);
  }
  const marks = new Uint8Array(passages.length);
  markRepeats(passages, marks, perQuery, MASKED.repeat);
  const width = queriesPerRank * perQuery;
  for (let start = 0; start < passages.length; start += width) {
    const [own, ownMarks] = [passages.subarray(start, start + width), marks.subarray(start, start + width)];
    markRepeats(own, ownMarks, perQuery, MASKED.rankRepeat);
  }
  for (let at = 0; at < count; at += 1) {
    marks.fill(MASKED.always, at * perQuery + (groups[first + at] as Group).count, (at + 1) * perQuery);
  }
  const columns = { passages, queriesPerRank, marks, lastOf, before };
  ofStep.set(first, columns);
  return columns;
}

/** Every row has the marks of all; then the texts relevant to its query are marked, and those that its group has. */
function buildMask(
  set: TrainingSet,
  groups: readonly Group[],
  positiveColumns: Int32Array,
  columns: Columns,
): { readonly mask: Uint8Array; readonly maskedPositives: number } {
  const { passages, marks, lastOf, before } = columns;
  const width = passages.length;
  const mask = new Uint8Array(groups.length * width);
  let maskedPositives = 0;
  for (const [query, group] of groups.entries()) {
    const row = mask.subarray(query * width, (query + 1) * width);
    row.set(marks);
    const markCopies = (passage: number, bit: number): void => {
      for (let column = lastOf.get(set.textHash(passage)) ?? -1; column !== -1; column = before[column] as number) {
        const mark = row[column] as number;
        if ((mark & bit) !== 0 || !set.isSameText(passages[column] as number, passage)) continue;
        if (mark === 0 && bit === MASKED.always) maskedPositives += 1;
        row[column] = mark | bit;
      }
    };
    const ownColumn = positiveColumns[query] as number;
    row[ownColumn] = MASKED.always;
    markCopies(passages[ownColumn] as number, MASKED.always);
    for (const positive of set.knownPositives(group.query)) markCopies(positive, MASKED.always);
    for (let column = ownColumn + 1; column < ownColumn + group.count; column += 1) {
      // Marked by now: relevant to the query, or a copy of one before it in the group.
      const mark = row[column] as number;
      if ((mark & (MASKED.always | MASKED.ownRepeat)) !== 0) continue;
      markCopies(passages[column] as number, MASKED.ownRepeat);
      row[column] = mark;
    }
    row[ownColumn] = 0;
  }
  return { mask, maskedPositives };
}

/** Marks where a passage has another column that counts: the earliest among the queries' first places, else the rest. */
function markRepeats(passages: Int32Array, marks: Uint8Array, perQuery: number, bit: number): void {
  const seen = new Set<number>();
  const visit = (column: number): void => {
    const passage = passages[column] as number;
    if (seen.has(passage)) marks[column] = (marks[column] as number) | bit;
    seen.add(passage);
  };
  for (let column = 0; column < passages.length; column += perQuery) visit(column);
  for (let column = 0; column < passages.length; column += 1) if (column % perQuery !== 0) visit(column);
}
