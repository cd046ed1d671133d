/** The number of texts or pairs in a forward pass: what the user says, or what one measurement on the run's own finds. */
import { type PairRows, pairUnits, textUnits } from "../data/index.js";
import type { TextTable } from "../data/types.js";
import type { ProbeJob } from "../pool/types.js";
import type { CrossEncoderContract, CrossEncoderSpec } from "../protocol/messages.js";
import type { RunContext } from "./context.js";
import type { ModelChoice } from "./step.js";

/** The biggest size that is tried where no unit size says otherwise, and where one does. Of that many texts a sample is. */
const [BIGGEST, BIGGEST_OF_ALL] = [1_024, 4_096];
const DEFAULT_UNIT_SIZE = 256;
const FILE = "batch-size.json";

type Recorded = Readonly<Record<string, { readonly batchSize: number; readonly textsPerSecond: number }>>;

/** Texts, or pairs, in a unit: unless the user wants it so, no fewer than a forward pass takes, which is of one unit. */
export function unitSizeOf({ unitSize }: { readonly unitSize?: number | undefined }, batchSize: number): number {
  return unitSize ?? Math.max(DEFAULT_UNIT_SIZE, batchSize);
}

function biggest({ unitSize }: { readonly unitSize?: number | undefined }): number {
  return Math.min(unitSize ?? BIGGEST, BIGGEST_OF_ALL);
}

/**
 * The batch size of a model in this run. With `auto` it is measured once and recorded in the run folder, for every worker
 * and every later call: another shape of the batches would change the last bits of the vectors.
 *
 * @param rows rows of the passages that are going to be encoded; the sample is spread over them
 */
export function batchSizeOf(
  context: RunContext,
  model: ModelChoice,
  table: TextTable,
  rows: Int32Array,
): Promise<number> {
  const { batchSize } = context.config.workers;
  if (batchSize !== "auto") return Promise.resolve(batchSize ?? context.defaultBatchSize());
  return measuredOnce(context, model.label, { name: "batch size", unit: "texts" }, () => {
    const sample = spread(rows, biggest(context.config.workers));
    return {
      probed: { model: context.modelSpec(model.checkpoint), side: "passage" },
      frame: textUnits(table, sample, sample.length, "passages").frame(0),
      rowCount: sample.length,
    };
  });
}

/** What a cross-encoder scores. */
interface CrossWork {
  readonly model: CrossEncoderSpec;
  readonly contract: CrossEncoderContract;
  readonly tables: { readonly queries: TextTable; readonly passages: TextTable };
  readonly pairs: PairRows;
}

/**
 * The same for a cross-encoder, by pairs that it is going to score.
 *
 * @param wanted what the user says
 * @param missing numbers of the pairs without a score; the sample is spread over them
 */
export function pairBatchSizeOf(
  context: RunContext,
  wanted: number | "auto" | undefined,
  { model, contract, tables, pairs }: CrossWork,
  missing: Int32Array,
): Promise<number> {
  if (wanted !== "auto") return Promise.resolve(wanted ?? context.defaultBatchSize());
  // Its fingerprint knows of maxLength, which decides most; steps that share the model share the measurement.
  const key = `${contract.checkpoint} ${contract.fingerprint.slice(0, 16)}`;
  return measuredOnce(context, key, { name: "batch size of the cross-encoder", unit: "pairs" }, () => {
    const sample = spread(missing, biggest(context.config.workers));
    const rowCount = sample.length;
    return { probed: { crossEncoder: model }, frame: pairUnits(tables, pairs, sample, rowCount).frame(0), rowCount };
  });
}

async function measuredOnce(
  context: RunContext,
  key: string,
  { name, unit }: { readonly name: string; readonly unit: string },
  sampled: () => Pick<ProbeJob, "probed" | "frame" | "rowCount">,
): Promise<number> {
  const known = (await context.runDir.readJson(FILE)) as Recorded | null;
  if (known?.[key] !== undefined) return known[key].batchSize;
  const pool = await context.pool();
  const [best] = await pool.probe({
    ...sampled(),
    maxBatchSize: biggest(context.config.workers),
    signal: context.signal,
  });
  if (best === undefined) throw new TypeError("a probe names at least one batch size");
  // Of two parts of a run that measure at once, in training, the first one decides for both.
  const recorded = await context.runDir.updateJson<Recorded>(FILE, (before) => ({ [key]: best, ...before }));
  const { batchSize, textsPerSecond } = recorded[key] ?? best;
  const rate = textsPerSecond.toFixed(1);
  const text = `${name} ${batchSize} is the fastest one on this machine (${rate} ${unit}/s on one worker)`;
  context.events.emit({ type: "log", source: "quarry", level: "info", text });
  return batchSize;
}

/** So many rows, evenly spread. */
function spread(rows: Int32Array, count: number): Int32Array {
  const taken = Math.min(count, rows.length);
  return Int32Array.from({ length: taken }, (_, at) => rows[Math.floor((at * rows.length) / taken)] as number);
}
