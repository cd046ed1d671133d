/** Makes the values of a measured ranking known: metrics.json and the event stream. */
import type { RunContext } from "./context.js";

/** @param step its name in metrics.json */
export async function recordMetrics(
  context: RunContext,
  step: string,
  label: string,
  result: { readonly values: Readonly<Record<string, number>>; readonly queryCount: number },
): Promise<void> {
  const { values, queryCount } = result;
  const metrics = ((await context.runDir.readJson("metrics.json")) ?? {}) as Record<string, unknown>;
  await context.runDir.writeJson("metrics.json", { ...metrics, [step]: values });
  context.events.emit({ type: "metrics", phase: step, label, values, queryCount });
}
