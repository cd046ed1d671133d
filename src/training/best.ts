/** Which checkpoint is the best, and whether training has gone on long enough without a better one (pure). */

/** How evaluations are judged. */
export interface BestRule {
  readonly greaterIsBetter: boolean;
  /** Evaluations without an improvement after which training stops; undefined never stops it. */
  readonly patience: number | undefined;
  /** What counts as an improvement for the patience: more than this. */
  readonly threshold: number;
}

/** An evaluated checkpoint; `value` is null where its evaluation failed or was skipped. */
export interface Evaluated {
  readonly step: number;
  readonly value: number | null;
}

/** What the evaluations so far say. */
export interface Verdict {
  /** The earliest of the best; null without any value. */
  readonly best: { readonly step: number; readonly value: number } | null;
  /** The step at which the patience ran out; evaluations of later steps count for nothing. */
  readonly stoppedAt: number | null;
}

/**
 * Judges evaluations in the order of their steps, whatever the order in which they were made, so that a resume comes to
 * the same verdict.
 *
 * The best is the best value, however small its lead. The patience asks for more: a value that beats the last one that
 * counted by more than the threshold. Without a value an evaluation neither improves nor uses up patience.
 *
 * @example
 * judge([{ step: 10, value: 0.4 }, { step: 20, value: 0.39 }], { greaterIsBetter: true, patience: 1, threshold: 0 });
 * // { best: { step: 10, value: 0.4 }, stoppedAt: 20 }
 */
export function judge(evaluations: readonly Evaluated[], rule: BestRule): Verdict {
  const sign = rule.greaterIsBetter ? 1 : -1;
  let best: Verdict["best"] = null;
  let mark: number | null = null;
  let waited = 0;
  for (const { step, value } of evaluations.toSorted((a, b) => a.step - b.step)) {
    if (value === null) continue;
    if (best === null || sign * value > sign * best.value) best = { step, value };
    if (mark === null || sign * (value - mark) > rule.threshold) [mark, waited] = [value, 0];
    else waited += 1;
    if (rule.patience !== undefined && waited >= rule.patience) return { best, stoppedAt: step };
  }
  return { best, stoppedAt: null };
}

/** Steps of the best values, best first and the earlier of equals; only those that count for the verdict. */
export function bestSteps(evaluations: readonly Evaluated[], rule: BestRule, count: number): number[] {
  const { stoppedAt } = judge(evaluations, rule);
  const sign = rule.greaterIsBetter ? 1 : -1;
  return evaluations
    .flatMap(({ step, value }) => (value === null || step > (stoppedAt ?? step) ? [] : [{ step, value }]))
    .sort((a, b) => sign * (b.value - a.value) || a.step - b.step)
    .slice(0, count)
    .map(({ step }) => step);
}

/**
 * The checkpoints that may go.
 *
 * @param steps of all complete checkpoints
 * @param keepLast how many of the newest stay, at least one
 * @param pinned steps that stay whatever their age: the best, those that wait for their evaluation
 * @param ends where training has ended, or may turn out to have ended: the newest up to each of them stay, and so does
 *   what lies beyond all of them
 */
export function removable(
  steps: readonly number[],
  keepLast: number,
  pinned: ReadonlySet<number>,
  ends: readonly number[] = [Number.POSITIVE_INFINITY],
): number[] {
  const ordered = steps.toSorted((a, b) => a - b);
  const upTo = (end: number): number[] => ordered.filter((step) => step <= end);
  const kept = new Set([...pinned, ...ends.flatMap((end) => upTo(end).slice(-Math.max(1, keepLast)))]);
  return upTo(Math.max(...ends)).filter((step) => !kept.has(step));
}
