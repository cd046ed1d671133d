/** Passages in, as texts or as stored vectors; snapshots of the running top-k out. */
import { protocolError } from "../../protocol/scan.js";
import { bytesOf, tensor, toFloat32, toInt32 } from "../../protocol/tensor.js";
import type { SearchJob } from "../types.js";
import { type Assignment, checkShape, type Equipment } from "./assignment.js";

/** Query vectors sent in one message: 16 MiB. */
const QUERY_BLOCK_BYTES = 16_777_216;
/** Units between two snapshots when the user does not say: more for bigger snapshots, so that they stay a small cost. */
const SNAPSHOT_UNITS = 16;
const SNAPSHOT_BYTES = 2_097_152;
const MAX_SNAPSHOT_UNITS = 1_000;

export function searching(job: SearchJob): Assignment {
  const { model, topK, queryCount, dimension, tracked, similarity, isNormalizing } = job;
  const trackedCount = tracked?.rows.length ?? 0;
  const snapshotBytes = queryCount * topK * 8;
  /** A session's snapshots replace each other: they are saved in the order they came. */
  const chains = new Map<string, Promise<void>>();
  return {
    kind: "search",
    phase: job.phase,
    checkpoint: model?.checkpoint ?? null,
    units: job.units,
    isDone: job.isDone,
    signal: job.signal,
    answerBytes: snapshotBytes + trackedCount * 4,
    task: (batchSize) => {
      const adapted = SNAPSHOT_UNITS * Math.ceil(snapshotBytes / SNAPSHOT_BYTES);
      return {
        kind: "search",
        model,
        files: [...(job.units.placed?.files ?? [])],
        vectorDtype: job.vectorDtype ?? "float32",
        scoring: { similarity, isNormalizing, plugins: [...(job.plugins ?? model?.plugins ?? [])] },
        trackedCount,
        batchSize: job.batchSize ?? batchSize,
        topK,
        queryCount,
        dimension,
        snapshotEveryUnits: Math.min(MAX_SNAPSHOT_UNITS, job.snapshotEveryUnits ?? Math.max(1, adapted)),
      };
    },
    equipment: () => equipment(job),
    contractOf: ({ model: contract }) => contract,
    read: ({ message, frames }) => {
      if (message.type !== "snapshot") return null;
      checkShape(message.scores, [queryCount, topK]);
      checkShape(message.rows, [queryCount, topK]);
      if ((message.tracked === null) === trackedCount > 0) throw protocolError("a snapshot of other tracked pairs");
      if (message.tracked !== null) checkShape(message.tracked, [trackedCount]);
      const scores = toFloat32(message.scores, frames);
      const rows = toInt32(message.rows, frames);
      const found = message.tracked === null ? null : toFloat32(message.tracked, frames);
      return {
        save: (session, units) => {
          const saved = (chains.get(session) ?? Promise.resolve()).then(() =>
            job.onSnapshot({ session, units, scores, rows, tracked: found }),
          );
          chains.set(session, saved);
          return saved;
        },
      };
    },
  };
}

/** Query vectors in blocks, then the pairs whose scores are wanted. */
function* equipment({ queries, queryCount, dimension, tracked }: SearchJob): Generator<Equipment> {
  const size = Math.max(1, Math.floor(QUERY_BLOCK_BYTES / (4 * Math.max(1, dimension))));
  for (let firstRow = 0; firstRow < queryCount; firstRow += size) {
    const rows = Math.min(size, queryCount - firstRow);
    const block = queries.subarray(firstRow * dimension, (firstRow + rows) * dimension);
    const spec = tensor("float32", [rows, dimension], 1);
    yield { message: { type: "queries", firstRow, tensor: spec }, frames: [bytesOf(block)] };
  }
  if (tracked === undefined || tracked.rows.length === 0) return;
  const shape = [tracked.rows.length];
  const [queryNumbers, rows] = [tensor("int32", shape, 1), tensor("int32", shape, 2)];
  yield {
    message: { type: "tracked", queries: queryNumbers, rows },
    frames: [bytesOf(tracked.queries), bytesOf(tracked.rows)],
  };
}
