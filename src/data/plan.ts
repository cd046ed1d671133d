/** Which groups make up a training step: a pure function of (training set, seed, step), without state. */
import type { Group, Judgements, TrainingSet } from "./types.js";

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
 * @throws RangeError for anything else.
 */
export function planStep(set: TrainingSet, step: number, globalBatchSize: number): Group[] {
  if (!(Number.isSafeInteger(step) && step >= 0 && Number.isSafeInteger(globalBatchSize) && globalBatchSize > 0)) {
    throw new RangeError(
      `step ${step} of ${globalBatchSize} groups: steps count from 0, batches hold at least 1 group`,
    );
  }
  const planned: Planned[] = [];
  for (let at = 0; at < globalBatchSize; at += 1) {
    const place = step * globalBatchSize + at;
    const { index, epoch } = set.at(place, globalBatchSize);
    planned.push({ index, epoch, group: set.group(index, epoch) });
  }
  return set.passagesPerQuery === 1 ? planned.map(({ group }) => group) : withoutConflicts(set, planned);
}

/** Asks the disk for the texts of a step that comes later, so that a cold disk works while the step in hand computes. */
export function prefetchStep(set: TrainingSet, groups: readonly Group[]): void {
  const passages = new Int32Array(groups.reduce((sum, group) => sum + group.passages.length, 0));
  let at = 0;
  for (const group of groups) {
    passages.set(group.passages, at);
    at += group.passages.length;
  }
  set.prefetch(
    Int32Array.from(groups, ({ query }) => query),
    passages,
  );
}

/**
 * Steps that show every query `epochs` times, the last one filled up from the next epoch. Of a mix: as many groups as all
 * parts have queries, which shows every query once where the weights are the parts' numbers of queries.
 */
export function stepsOf(set: TrainingSet, epochs: number, globalBatchSize: number): number {
  // Without the last bits: 100 × 1.1 is 110.00000000000001 to a machine.
  const groups = Number((set.queryCount * epochs).toPrecision(12));
  return Math.max(1, Math.ceil(groups / globalBatchSize));
}

/**
 * A place after the first is in conflict when its passage stands in the step already, or is a known positive of
 * another query of the step.
 */
function withoutConflicts(set: TrainingSet, planned: readonly Planned[]): Group[] {
  const positiveOf = knownInStep(set, planned);
  const taken = new Set<number>();
  for (const { group } of planned) taken.add(group.passages[0] as number);
  return planned.map(({ index, epoch, group }) => {
    const isTaken = (passage: number): boolean => {
      if (taken.has(passage)) return true;
      const owners = positiveOf.get(passage);
      return owners !== undefined && owners > (set.isKnownPositive(group.query, passage) ? 1 : 0);
    };
    let mended = group;
    let spares: Judgements | null = null;
    let next = 0;
    // The places from `count` on are paddings.
    for (let place = 1; place < group.count; place += 1) {
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

/** How many of the step's queries know a passage as relevant. */
function knownInStep(set: TrainingSet, planned: readonly Planned[]): Map<number, number> {
  const positiveOf = new Map<number, number>();
  const seen = new Set<number>();
  for (const { group } of planned) {
    if (seen.has(group.query)) continue;
    seen.add(group.query);
    for (const passage of set.knownPositives(group.query)) {
      positiveOf.set(passage, (positiveOf.get(passage) ?? 0) + 1);
    }
  }
  return positiveOf;
}
