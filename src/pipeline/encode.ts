/** Encode: a source's texts become one matrix of vectors beside the list of their ids. */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { textUnits } from "../data/index.js";
import type { TextTable } from "../data/types.js";
import { QuarryError } from "../errors.js";
import { writeFileDurably } from "../rundir/durable.js";
import type { RunContext } from "./context.js";
import { describe } from "./describe.js";
import { toModelSpec } from "./model-spec.js";
import { MatrixWriter } from "./npy.js";
import { onceOnSource } from "./prepare.js";
import { throwFailed } from "./query-vectors.js";
import type { ModelChoice } from "./step.js";
import type { Throughput } from "./summary.js";

/** What encoding wrote; paths are relative to the run folder. */
export interface EncodeResult {
  /** float32 [rowCount × dimension], readable by numpy.load. */
  readonly vectors: string;
  /** JSON list of the ids, in the order of the rows. */
  readonly ids: string;
  readonly rowCount: number;
  readonly throughput: Throughput;
}

/** Encodes the experiment's encode data with one model; a killed call goes on with the units that are missing. */
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
    const pool = await context.pool();
    const spec = toModelSpec(context.experiment, model.checkpoint);
    const contract = await describe(context, model);
    const { batchSize, unitSize } = context.config.workers;
    const key = createHash("sha256")
      .update(JSON.stringify([contract.fingerprint, table.fingerprint, options.side, batchSize, unitSize]))
      .update(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength))
      .digest("hex");
    const files = { vectors: `${step}/vectors.npy`, ids: `${step}/ids.json` };
    const writer = await MatrixWriter.open(context.runDir.file(files.vectors), key, rows.length, unitSize);
    const unit = options.side === "passage" ? "passages" : "queries";
    try {
      const outcome = await context.phase(
        { phase: step, label: `encode ${unit}`, unit, total: rows.length },
        async () => {
          const value = await pool.encode({
            phase: step,
            model: spec,
            side: options.side,
            units: textUnits(table, rows, unitSize, unit),
            isDone: (index) => writer.isDone(index),
            signal: context.signal,
            onVectors: (index, vectors, dimension) => writer.write(index, vectors, dimension),
          });
          return { value, done: value.rowCount };
        },
      );
      throwFailed(outcome.failed, table);
      await writeFileDurably(
        context.runDir.file(files.ids),
        JSON.stringify([...rows].map((row) => table.qualifiedId(row))),
      );
      await writer.finish();
      return { ...files, rowCount: rows.length, throughput: { texts: outcome.rowCount, seconds: outcome.seconds } };
    } finally {
      await writer.close();
    }
  });
}
