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
  const columns = columnsOf(set, groups, first, worldSize * queriesPerRank);
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
    ...buildMask(set, queryRows, positiveColumns, columns),
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
  /** 1 for paddings, and where a passage has another column that counts. */
  readonly isIdle: Uint8Array;
  /** The columns by the hashes of their texts: the last one with a hash, and the one before each, -1 for none. */
  readonly lastOf: ReadonlyMap<number, number>;
  readonly before: Int32Array;
}

/** The columns of a step's micro-steps, by their first group: each rank asks for the same ones. */
const known = new WeakMap<readonly Group[], Map<number, Columns>>();

function columnsOf(set: TrainingSet, groups: readonly Group[], first: number, count: number): Columns {
  const ofStep = known.get(groups) ?? new Map<number, Columns>();
  known.set(groups, ofStep);
  const perQuery = set.passagesPerQuery;
  const kept = ofStep.get(first);
  if (kept?.passages.length === count * perQuery) return kept;
  const passages = new Int32Array(count * perQuery);
  for (let at = 0; at < count; at += 1) passages.set((groups[first + at] as Group).passages, at * perQuery);
  const lastOf = new Map<number, number>();
  const before = new Int32Array(passages.length);
  for (let column = 0; column < passages.length; column += 1) {
    const hash = set.textHash(passages[column] as number);
    before[column] = lastOf.get(hash) ?? -1;
    lastOf.set(hash, column);
  }
  const isIdle = findRepeats(passages, perQuery);
  for (let at = 0; at < count; at += 1) {
    isIdle.fill(1, at * perQuery + (groups[first + at] as Group).count, (at + 1) * perQuery);
  }
  const columns = { passages, isIdle, lastOf, before };
  ofStep.set(first, columns);
  return columns;
}

/** Marks the idle columns in every row, then in each row the columns that hold a text relevant to its query. */
function buildMask(
  set: TrainingSet,
  queryRows: Int32Array,
  positiveColumns: Int32Array,
  columns: Columns,
): { readonly mask: Uint8Array; readonly maskedPositives: number } {
  const { passages, isIdle, lastOf, before } = columns;
  const width = passages.length;
  const mask = new Uint8Array(queryRows.length * width);
  let maskedPositives = 0;
  for (let query = 0; query < queryRows.length; query += 1) {
    const start = query * width;
    mask.set(isIdle, start);
    const ownColumn = positiveColumns[query] as number;
    mask[start + ownColumn] = 1;
    const maskCopies = (positive: number): void => {
      for (let column = lastOf.get(set.textHash(positive)) ?? -1; column !== -1; column = before[column] as number) {
        if (mask[start + column] === 1 || !set.isSameText(passages[column] as number, positive)) continue;
        mask[start + column] = 1;
        maskedPositives += 1;
      }
    };
    maskCopies(passages[ownColumn] as number);
    for (const positive of set.knownPositives(queryRows[query] as number)) maskCopies(positive);
    mask[start + ownColumn] = 0;
  }
  return { mask, maskedPositives };
}

/** 1 where a passage has another column that counts: the earliest among the queries' first places, else among the rest. */
function findRepeats(columns: Int32Array, perQuery: number): Uint8Array {
  const isRepeat = new Uint8Array(columns.length);
  const seen = new Set<number>();
  const visit = (column: number): void => {
    const passage = columns[column] as number;
    if (seen.has(passage)) isRepeat[column] = 1;
    seen.add(passage);
  };
  for (let column = 0; column < columns.length; column += perQuery) visit(column);
  for (let column = 0; column < columns.length; column += 1) if (column % perQuery !== 0) visit(column);
  return isRepeat;
}
