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
 * A column is masked for a query when its passage is a known positive of the query or a copy of one, and when the same
 * passage has a column already: it counts once. The column of the query's own positive is never masked.
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
  const all = groups.slice(first, first + worldSize * queriesPerRank);
  const own = all.slice(rank * queriesPerRank, (rank + 1) * queriesPerRank);
  const columns = joinInt32(all.map(({ passages }) => passages));
  const queryRows = Int32Array.from(own, ({ query }) => query);
  const passageRows = joinInt32(own.map(({ passages }) => passages));
  const labels = new Float32Array(passageRows.length);
  for (const [at, group] of own.entries()) labels.set(group.labels, at * perQuery);
  const positiveColumns = Int32Array.from(own, (_, at) => (rank * queriesPerRank + at) * perQuery);
  return {
    queries: set.gatherQueries(queryRows),
    passages: set.gatherPassages(passageRows),
    positiveColumns,
    mask: buildMask(set, queryRows, positiveColumns, columns),
    labels,
    queryCount: queriesPerRank,
    passagesPerQuery: perQuery,
    columnCount: columns.length,
    queryRows,
    passageRows,
  };
}

function buildMask(
  set: TrainingSet,
  queryRows: Int32Array,
  positiveColumns: Int32Array,
  columns: Int32Array,
): Uint8Array {
  const mask = new Uint8Array(queryRows.length * columns.length);
  const hashes = columns.map((passage) => set.textHash(passage));
  const isRepeat = findRepeats(columns, set.passagesPerQuery);
  for (let query = 0; query < queryRows.length; query += 1) {
    const ownColumn = positiveColumns[query] as number;
    const positives = byHash(set, queryRows[query] as number, columns[ownColumn] as number);
    for (let column = 0; column < columns.length; column += 1) {
      if (column === ownColumn) continue;
      const passage = columns[column] as number;
      const isMasked =
        isRepeat[column] === 1 ||
        positives.get(hashes[column] as number)?.some((positive) => set.isSameText(passage, positive));
      if (isMasked) mask[query * columns.length + column] = 1;
    }
  }
  return mask;
}

/** A query's positive and all its known positives, by the hashes of their texts. */
function byHash(set: TrainingSet, query: number, positive: number): Map<number, number[]> {
  const found = new Map([[set.textHash(positive), [positive]]]);
  for (const known of set.knownPositives(query)) {
    const hash = set.textHash(known);
    const equal = found.get(hash);
    if (equal === undefined) found.set(hash, [known]);
    else equal.push(known);
  }
  return found;
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

function joinInt32(pieces: readonly Int32Array[]): Int32Array {
  const whole = new Int32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
