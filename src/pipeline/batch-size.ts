/** The number of texts in a forward pass: what the user says, or what one measurement on the run's own texts finds. */
import type { TextTable } from "../data/types.js";
import type { RunContext } from "./context.js";
import { toModelSpec } from "./model-spec.js";
import type { ModelChoice } from "./step.js";

/** Texts that are measured with: enough for a few batches of the biggest size. */
const SAMPLE_SIZE = 256;
const FILE = "batch-size.json";

type Recorded = Readonly<Record<string, { readonly batchSize: number; readonly textsPerSecond: number }>>;

/**
 * The batch size of a model in this run. With `auto` it is measured once and recorded in the run folder, for every worker
 * and every later call: another shape of the batches would change the last bits of the vectors.
 *
 * @param rows rows of the passages that are going to be encoded; the sample is spread over them
 */
export async function batchSizeOf(
  context: RunContext,
  model: ModelChoice,
  table: TextTable,
  rows: Int32Array,
): Promise<number> {
  const { batchSize, unitSize } = context.config.workers;
  if (batchSize !== "auto") return batchSize;
  const recorded = ((await context.runDir.readJson(FILE)) ?? {}) as Recorded;
  const known = recorded[model.label];
  if (known !== undefined) return known.batchSize;
  const sample = spread(rows, Math.min(SAMPLE_SIZE, unitSize));
  const pool = await context.pool();
  const [best] = await pool.probe({
    model: toModelSpec(context.experiment, model.checkpoint),
    side: "passage",
    frame: table.gather(sample),
    rowCount: sample.length,
    maxBatchSize: unitSize,
    signal: context.signal,
  });
  if (best === undefined) throw new TypeError("a probe names at least one batch size");
  await context.runDir.writeJson(FILE, { ...recorded, [model.label]: best });
  const rate = best.textsPerSecond.toFixed(1);
  const text = `batch size ${best.batchSize} is the fastest one on this machine (${rate} texts/s on one worker)`;
  context.events.emit({ type: "log", source: "quarry", level: "info", text });
  return best.batchSize;
}

/** So many rows, evenly spread. */
function spread(rows: Int32Array, count: number): Int32Array {
  const taken = Math.min(count, rows.length);
  return Int32Array.from({ length: taken }, (_, at) => rows[Math.floor((at * rows.length) / taken)] as number);
}
