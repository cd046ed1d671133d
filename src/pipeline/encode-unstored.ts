/** Encoding without the store: vectors go straight into one NumPy matrix in the run folder. */
import { createHash } from "node:crypto";
import { hashRows, textUnits } from "../data/index.js";
import { batchSizeOf, unitSizeOf } from "./batch-size.js";
import type { RunContext } from "./context.js";
import { describe } from "./describe.js";
import { type EncodeResult, type EncodeWork, writeIds } from "./encode-work.js";
import { leaveOut, throwFailed } from "./failed-units.js";
import { MatrixWriter } from "./npy.js";

/** Fills vectors.npy block by block; a killed call goes on with the units that are missing. */
export async function encodeToMatrix(context: RunContext, work: EncodeWork): Promise<EncodeResult> {
  const { step, model, options, table, rows } = work;
  const pool = await context.pool();
  const contract = await describe(context, model);
  const batchSize = await batchSizeOf(context, model, table, rows);
  const unitSize = unitSizeOf(context.config.workers, batchSize);
  const facts = JSON.stringify([contract.fingerprint, table.fingerprint, options.side, batchSize, unitSize]);
  const key = hashRows(createHash("sha256").update(facts), rows).digest("hex");
  const vectors = `${step}/vectors.npy`;
  const writer = await MatrixWriter.open(context.runDir.file(vectors), key, rows.length, unitSize);
  const unit = options.side === "passage" ? "passages" : "queries";
  const start = { phase: step, label: `encode ${unit}`, unit, total: rows.length } as const;
  try {
    const outcome = await context.phase(start, async () => {
      const value = await pool.encode({
        phase: step,
        model: context.modelSpec(model.checkpoint),
        side: options.side,
        batchSize,
        units: textUnits(table, rows, unitSize, unit),
        isDone: (index) => writer.isDone(index),
        signal: context.signal,
        onVectors: (index, { bytes, dimension }) => writer.write(index, bytes, dimension),
      });
      return { value, done: value.rowCount };
    });
    if (outcome.failed.length > 0) {
      const spec = context.modelSpec(model.checkpoint);
      // A matrix has a row for every text: none can be left out, but the ones at fault can be named.
      const job = { phase: step, model: spec, side: options.side, batchSize, table, scope: key };
      await leaveOut(context, job, outcome.failed);
      throwFailed(outcome.failed);
    }
    const ids = await writeIds(context, work, rows);
    await writer.finish();
    const throughput = { texts: outcome.rowCount, seconds: outcome.seconds };
    return { vectors, scales: null, ids, rowCount: rows.length, throughput };
  } finally {
    await writer.close();
  }
}
