/** The loss curve of a run folder, thinned out until it can be drawn. */
import type { CurvePoint, ReportedTraining } from "../../report/html/types.js";
import { recordsOf } from "../../rundir/jsonl.js";

/** So many points are drawn at most; more would lie in the same column of pixels. */
const MOST_POINTS = 600;

/** What steps.jsonl told of a training. */
type RecordedCurves = Pick<ReportedTraining, "steps" | "lastLoss" | "waitShare" | "loss" | "learningRate" | "gradNorm">;

const fields = ["loss", "learningRate", "gradNorm", "waitShare"] as const;

/** Reads train/steps.jsonl, where after a death a step may stand again: its last line counts. Null without steps. */
export async function readCurves(path: string): Promise<RecordedCurves | null> {
  const steps: number[] = [];
  const columns = Object.fromEntries(fields.map((field) => [field, [] as number[]])) as Record<
    (typeof fields)[number],
    number[]
  >;
  for await (const line of recordsOf(path)) {
    if (typeof line.step !== "number") continue;
    // Those after it were done with what is forgotten by now.
    while (steps.length > 0 && (steps.at(-1) as number) >= line.step) {
      steps.pop();
      for (const field of fields) columns[field].pop();
    }
    steps.push(line.step);
    for (const field of fields) columns[field].push(numberOf(line[field]));
  }
  if (steps.length === 0) return null;
  const waits = columns.waitShare.filter(Number.isFinite);
  const last = columns.loss.at(-1);
  return {
    steps: steps.at(-1) as number,
    lastLoss: last !== undefined && Number.isFinite(last) ? last : null,
    waitShare: waits.length === 0 ? null : waits.reduce((sum, wait) => sum + wait, 0) / waits.length,
    loss: thinned(steps, columns.loss),
    learningRate: thinned(steps, columns.learningRate),
    gradNorm: thinned(steps, columns.gradNorm),
  };
}

/** At most `most` points: of neighbours that share one the mean, the least and the most. What is not finite is left out. */
export function thinned(steps: readonly number[], values: readonly number[], most = MOST_POINTS): CurvePoint[] {
  const size = Math.max(1, Math.ceil(steps.length / most));
  const points: CurvePoint[] = [];
  for (let start = 0; start < steps.length; start += size) {
    const finite = values.slice(start, start + size).filter(Number.isFinite);
    if (finite.length === 0) continue;
    const mean = finite.reduce((sum, value) => sum + value, 0) / finite.length;
    const middle = steps[Math.min(steps.length - 1, start + Math.floor(size / 2))] as number;
    points.push({ step: middle, mean, least: Math.min(...finite), most: Math.max(...finite) });
  }
  return points;
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : Number.NaN;
}
