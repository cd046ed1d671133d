/** The losses of a whole training in bounded memory: neighbours are averaged when the list grows too long. */

/** At most this many points are kept: more than any sparkline is wide. */
const maxPoints = 256;

/** Each point is the mean of `stride` steps; the last steps that make no point yet are in `open`. */
export interface LossHistory {
  readonly points: readonly number[];
  readonly stride: number;
  readonly open: { readonly sum: number; readonly count: number };
}

export const emptyLossHistory: LossHistory = { points: [], stride: 1, open: { sum: 0, count: 0 } };

/** The history with one more step's loss. */
export function addLoss(history: LossHistory, loss: number): LossHistory {
  const open = { sum: history.open.sum + loss, count: history.open.count + 1 };
  if (open.count < history.stride) return { ...history, open };
  const points = [...history.points, open.sum / open.count];
  if (points.length < maxPoints) return { ...history, points, open: emptyLossHistory.open };
  const halved = Array.from(
    { length: maxPoints / 2 },
    (_, index) => ((points[index * 2] ?? 0) + (points[index * 2 + 1] ?? 0)) / 2,
  );
  return { points: halved, stride: history.stride * 2, open: emptyLossHistory.open };
}

/** Every point, with the unfinished one at the end. */
export function lossPoints(history: LossHistory): readonly number[] {
  return history.open.count === 0 ? history.points : [...history.points, history.open.sum / history.open.count];
}
