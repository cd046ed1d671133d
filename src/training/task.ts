/** What a rank is told: its task, and its micro-batches as they travel. */
import type { MicroBatch } from "../data/types.js";
import { encodeMessage } from "../protocol/codec.js";
import type { DownMessage, Unversioned } from "../protocol/messages.js";
import { bytesOf, tensor } from "../protocol/tensor.js";
import type { Layout, TrainJob } from "./job.js";

type Configure = Extract<DownMessage, { type: "configure" }>;

/** The task of a job's ranks. */
export function trainTask(
  job: TrainJob,
  layout: Layout,
  resumeFrom: string | null,
): Extract<Configure["task"], { kind: "train" }> {
  const { worldSize: _worldSize, ...cut } = layout;
  const { model, losses, sources, args, outputDir, maxSteps, passagesPerQuery, seed, isDropoutOn } = job;
  const { miniBatchSize, lengthGroups } = job;
  return {
    ...{ kind: "train", model, losses, sources, args, outputDir, maxSteps, passagesPerQuery, seed, isDropoutOn },
    ...{ miniBatchSize, lengthGroups },
    ...cut,
    resumeFrom,
    retriever: job.retriever ?? null,
    checkpointEvery: job.checkpointEvery ?? null,
    evalSteps: job.evaluation?.everySteps ?? null,
    isEvaluating: job.evaluation?.inRanks !== undefined,
  };
}

/** A micro-batch as a message and its frames. */
export function microBatchMessage(
  batch: MicroBatch,
  step: number,
  microStep: number,
): { readonly message: Unversioned<DownMessage>; readonly frames: readonly Uint8Array[] } {
  const { queryCount, passagesPerQuery, columnCount } = batch;
  return {
    message: {
      ...{ type: "microBatch", step, microStep },
      positiveColumns: tensor("int32", [queryCount], 3),
      mask: tensor("uint8", [queryCount, columnCount], 4),
      labels: tensor("float32", [queryCount, passagesPerQuery], 5),
      counts: tensor("int32", [queryCount], 6),
      sources: tensor("int32", [queryCount], 7),
    },
    frames: [
      ...[batch.queries, batch.passages, bytesOf(batch.positiveColumns), batch.mask, bytesOf(batch.labels)],
      ...[bytesOf(batch.counts), bytesOf(batch.sources)],
    ],
  };
}

/** A micro-batch as a file: the frames of its message, each behind its length (4 bytes, little endian). */
export function packMicroBatch(batch: MicroBatch, step: number, microStep: number): Uint8Array {
  const { message, frames } = microBatchMessage(batch, step, microStep);
  const parts = encodeMessage(message, frames).flatMap((frame) => {
    const size = new Uint8Array(4);
    new DataView(size.buffer).setUint32(0, frame.byteLength, true);
    return [size, frame];
  });
  return Buffer.concat(parts);
}
