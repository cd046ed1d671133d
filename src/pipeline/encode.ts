/** Encode: a source's texts become vectors in the store, and a file that other programs read. */
import { mkdir } from "node:fs/promises";
import type { TextTable } from "../data/types.js";
import { QuarryError } from "../errors.js";
import type { EncodeConfig } from "../experiment/schema.js";
import { writeFileDurably } from "../rundir/durable.js";
import { batchSizeOf } from "./batch-size.js";
import type { RunContext } from "./context.js";
import { describe } from "./describe.js";
import { embed } from "./embed.js";
import { encodeToMatrix } from "./encode-unstored.js";
import { exportFor } from "./export-formats.js";
import { toModelSpec } from "./model-spec.js";
import { onceOnSource } from "./prepare.js";
import type { ModelChoice } from "./step.js";
import type { Throughput } from "./summary.js";

/** What encoding wrote; paths are relative to the run folder. */
export interface EncodeResult {
  /** The file of vectors as `encode.export` says; null where only the store was filled. */
  readonly vectors: string | null;
  /** float32 [rowCount], readable by numpy.load: vector ≈ scale × codes; null but for int8. */
  readonly scales: string | null;
  /** JSON list of the ids, in the order of the rows. */
  readonly ids: string;
  readonly rowCount: number;
  readonly throughput: Throughput;
}

/** What is to be encoded. */
export interface EncodeWork {
  readonly step: string;
  readonly model: ModelChoice;
  readonly options: EncodeConfig;
  readonly table: TextTable;
  readonly rows: Int32Array;
}

/** Encodes the experiment's encode data with one model; texts whose vectors are stored are not encoded again. */
export async function encodeStep(context: RunContext, model: ModelChoice): Promise<EncodeResult> {
  const options = context.config.encode;
  if (options === undefined) throw new TypeError("the experiment has no encode section");
  const step = `encode-${model.label}`;
  return onceOnSource(context, step, { name: "encode", data: options.data }, async (source) => {
    const table: TextTable = options.side === "passage" ? source.passages : source.queries;
    if (table.rowCount === 0) {
      throw new QuarryError("CONFIG", "encode.data has no queries", {
        hint: "Name their file with encode.data.queries.",
      });
    }
    const rows = options.side === "passage" ? source.searchRows : source.encodableQueries;
    if (rows.length === 0) {
      throw new QuarryError("DATA", `encode.data has no ${options.side} with a text`, {
        hint: 'Check the file, or set validation.emptyTexts to "warn".',
      });
    }
    await mkdir(context.runDir.file(step), { recursive: true });
    const ids = `${step}/ids.json`;
    await writeFileDurably(context.runDir.file(ids), JSON.stringify([...rows].map((row) => table.qualifiedId(row))));
    const work = { step, model, options, table, rows };
    const written = await (context.config.embeddings.store ? encodeStored : encodeToMatrix)(context, work, ids);
    return { ...written, ids, rowCount: rows.length };
  });
}

async function encodeStored(context: RunContext, work: EncodeWork, ids: string) {
  const { step, options, table, rows } = work;
  const writeExport = await exportFor(context, options.export);
  const contract = await describe(context, work.model);
  const { view, throughput, close } = await embed(context, {
    phase: step,
    plan: `${step}/texts.plan`,
    model: toModelSpec(context.experiment, work.model.checkpoint),
    contract,
    side: options.side,
    dtype: context.config.embeddings.dtype,
    table,
    rows,
    batchSize: () => batchSizeOf(context, work.model, table, rows),
  });
  try {
    return { ...(await writeExport(view, step, ids)), throughput };
  } finally {
    close();
  }
}
