/** Which groups make up a training step: a pure function of (training set, seed, step), without state. */
import { permuted } from "./permutation.js";
import type { Group, TrainingSet } from "./types.js";

interface Planned {
  readonly index: number;
  readonly epoch: number;
  readonly group: Group;
}

/**
 * The groups of a step, [globalBatchSize]. Epochs follow each other without a gap: each has its own order and holds
 * every query once; a step may reach from one into the next. Conflicts inside the step are mended by taking other
 * candidates; what cannot be mended is masked by buildMicroBatch.
 *
 * @param step counts from 0.
 */
export function planStep(set: TrainingSet, seed: number, step: number, globalBatchSize: number): Group[] {
  const planned: Planned[] = [];
  for (let at = 0; at < globalBatchSize; at += 1) {
    const place = step * globalBatchSize + at;
    const epoch = Math.floor(place / set.queryCount);
    const index = permuted(place % set.queryCount, set.queryCount, seed, epoch);
    planned.push({ index, epoch, group: set.group(index, epoch) });
  }
  return set.passagesPerQuery === 1 ? planned.map(({ group }) => group) : withoutConflicts(set, planned);
}

/** Steps that show every query `epochs` times, the last one filled up from the next epoch. */
export function stepsOf(set: TrainingSet, epochs: number, globalBatchSize: number): number {
  return Math.max(1, Math.ceil((set.queryCount * epochs) / globalBatchSize));
}

/**
 * A place after the first is in conflict when its passage stands in the step already, or is a known positive of
 * another query of the step.
 */
function withoutConflicts(set: TrainingSet, planned: readonly Planned[]): Group[] {
  const positiveOf = new Map<number, number>();
  const positives = new Map<number, Int32Array>();
  for (const { group } of planned) {
    if (positives.has(group.query)) continue;
    const known = set.knownPositives(group.query);
    positives.set(group.query, known);
    for (const passage of known) positiveOf.set(passage, (positiveOf.get(passage) ?? 0) + 1);
  }
  const taken = new Set(planned.map(({ group }) => group.passages[0] as number));
  return planned.map(({ index, epoch, group }) => {
    const isTaken = (passage: number): boolean => {
      const own = set.isKnownPositive(group.query, passage) ? 1 : 0;
      return taken.has(passage) || (positiveOf.get(passage) ?? 0) > own;
    };
    let mended = group;
    let spares: ReturnType<TrainingSet["spares"]> | null = null;
    let next = 0;
    for (let place = 1; place < group.passages.length; place += 1) {
      if (isTaken(group.passages[place] as number)) {
        spares ??= set.spares(index, epoch);
        while (next < spares.rows.length && isTaken(spares.rows[next] as number)) next += 1;
        if (next < spares.rows.length) {
          if (mended === group) mended = { ...group, passages: group.passages.slice(), labels: group.labels.slice() };
          mended.passages[place] = spares.rows[next] as number;
          mended.labels[place] = spares.scores[next] as number;
        }
      }
      taken.add(mended.passages[place] as number);
    }
    return mended;
  });
}
