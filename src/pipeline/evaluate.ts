/** Evaluate: search the held-out passages, write the run file, score it. */
import { mkdir } from "node:fs/promises";
import type { RunContext } from "./context.js";
import { measure } from "./measure.js";
import { onceOnSource } from "./prepare.js";
import { retrieve } from "./retrieve.js";
import { type ModelChoice, requireQrels } from "./step.js";
import type { Throughput } from "./summary.js";
import { writeQrels, writeRun } from "./trec.js";

/** What an evaluation found; paths are relative to the run folder. */
export interface EvaluateResult {
  readonly values: Readonly<Record<string, number>>;
  readonly queryCount: number;
  readonly throughput: Throughput;
  readonly run: string;
}

/** Measures on different data stand beside each other in metrics.json, but must not be compared. */
function warnOfOtherData(context: RunContext, data: string): void {
  const others = context.runDir.journal.entries
    .filter(
      ({ type, step, data: seen }) => type === "stepDone" && String(step).startsWith("evaluate-") && seen !== data,
    )
    .map(({ step }) => String(step));
  if (others.length === 0) return;
  context.events.emit({
    type: "warning",
    message: `the evaluation data changed: do not compare with ${[...new Set(others)].join(", ")} in metrics.json`,
    hint: "Evaluate those models again, or choose another --runDir.",
  });
}

/** Evaluates one model on the experiment's evaluation data. */
export async function evaluateStep(context: RunContext, model: ModelChoice): Promise<EvaluateResult> {
  const options = context.config.evaluate;
  if (options === undefined) throw new TypeError("the experiment has no evaluate section");
  const step = `evaluate-${model.label}`;
  const use = { name: "evaluate", data: options.data };
  const result = await onceOnSource(context, step, use, async (source): Promise<EvaluateResult> => {
    warnOfOtherData(context, source.fingerprint);
    const qrels = requireQrels(source, "evaluate.data");
    await mkdir(context.runDir.file(step), { recursive: true });
    const files = {
      run: context.runDir.file(step, "run.trec"),
      qrels: context.runDir.file(step, "qrels.trec"),
      out: context.runDir.file(step, "per-query.json"),
    };
    // Written first: a judgement that measures cannot use must be known before hours of encoding.
    await writeQrels(files.qrels, qrels, source);
    const { ranked, throughput } = await retrieve(context, {
      phase: step,
      folder: step,
      model,
      source,
      queryRows: qrels.queryRows,
      topK: options.topK,
    });
    await writeRun(files.run, ranked, qrels.queryRows, source, context.config.name);
    const measured = await measure(context, files, options);
    return { values: measured.mean, queryCount: measured.queryCount, throughput, run: `${step}/run.trec` };
  });
  const metrics = ((await context.runDir.readJson("metrics.json")) ?? {}) as Record<string, unknown>;
  await context.runDir.writeJson("metrics.json", { ...metrics, [step]: result.values });
  context.events.emit({
    type: "metrics",
    phase: step,
    label: model.label === "base" ? "model as it is" : model.label,
    values: result.values,
    queryCount: result.queryCount,
  });
  return result;
}
