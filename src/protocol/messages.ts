/**
 * Every message on the wire, both directions, on one page: the only source of both languages' types.
 *
 * A message is frame 0 (msgpack, one of the objects below), then binary frames, then a crc32 over all of them.
 * Binary frames are Arrow IPC streams or raw little-endian tensors; `TensorSpec.frame` counts from 1.
 * Every field is required; "nothing" is null, so that both languages agree on what a message looks like.
 */
import { z } from "zod";
import {
  count,
  crossEncoderContract,
  errorInfo,
  modelContract,
  name,
  path,
  row,
  task,
  tensorSpec,
  text,
} from "./tasks.js";
import { PROTOCOL_VERSION } from "./version.js";

export * from "./tasks.js";

const v = z.literal(PROTOCOL_VERSION);

/** Worker or rank → orchestrator. */
export const upMessage = z.discriminatedUnion("type", [
  z.strictObject({
    v,
    type: z.literal("hello"),
    /** `control` is a command of the user's that asks about or changes the pool. */
    role: z.enum(["worker", "rank", "control"]),
    name,
    token: name,
    /** Random, and the same in each hello of one process: name, host and pid may be those of another container's worker. */
    life: name,
    pid: count,
    host: name,
    device: name,
    deviceName: name,
    /** Rank and world size of a training process; 0 and 1 for a worker. */
    rank: count,
    worldSize: count,
  }),
  z.strictObject({
    v,
    type: z.literal("ready"),
    model: modelContract.nullable(),
    crossEncoder: crossEncoderContract.nullable(),
    credits: z.int().min(1).max(1_024),
  }),
  /** A unit's vectors or scores, in the order of the unit's rows. */
  z.strictObject({
    v,
    type: z.literal("result"),
    unit: name,
    attempt: count,
    tensor: tensorSpec,
    /** float32 [N] for int8 vectors, else null. */
    scales: tensorSpec.nullable(),
    seconds: z.number(),
  }),
  /** The batch sizes that were tried, with texts per second; the best one first. */
  z.strictObject({
    v,
    type: z.literal("probed"),
    unit: name,
    attempt: count,
    sizes: z
      .array(z.strictObject({ batchSize: z.int().min(1).max(65_536), textsPerSecond: z.number() }))
      .min(1)
      .max(32),
    seconds: z.number(),
  }),
  /** A search unit is in the running top-k; it counts once a snapshot that covers it is durable. */
  z.strictObject({ v, type: z.literal("done"), unit: name, attempt: count, seconds: z.number() }),
  /** The whole running top-k, [queryCount, topK], padded with row -1; `units` are those new since the last one. */
  z.strictObject({
    v,
    type: z.literal("snapshot"),
    units: z.array(z.strictObject({ unit: name, attempt: count })).max(1_000),
    scores: tensorSpec,
    rows: tensorSpec,
    /** float32 [trackedCount]: scores of the tracked pairs seen so far, -inf for the others; null without such pairs. */
    tracked: tensorSpec.nullable(),
  }),
  z.strictObject({ v, type: z.literal("failed"), unit: name, attempt: count, error: errorInfo }),
  /** `progress` grows with each finished batch or step: a beat without growth is a hang, no beat is worse. */
  z.strictObject({ v, type: z.literal("heartbeat"), progress: count }),
  z.strictObject({ v, type: z.literal("log"), level: z.enum(["debug", "info", "warning", "error"]), text }),
  z.strictObject({
    v,
    type: z.literal("fatal"),
    error: errorInfo,
    /** Rows of the training set that a rank suspects, queries and passages apart; empty for anything else. */
    queryRows: z.array(row).max(100),
    passageRows: z.array(row).max(100),
  }),
  z.strictObject({ v, type: z.literal("bye"), reason: text }),
  /** A worker has to go (a preemption, a signal): nothing new, please; what is done is handed in after `drain`. */
  z.strictObject({ v, type: z.literal("leave"), reason: text }),
  /** A worker on another machine asks for a piece of a file of what was announced under this name. */
  z.strictObject({ v, type: z.literal("fetch"), checkpoint: path, file: path, offset: count }),
  /** A user's command; answered by `controlled`. `drain` names whom, `list` the last worker of the part before. */
  z.strictObject({ v, type: z.literal("control"), action: z.enum(["list", "drain"]), worker: name.nullable() }),
  /** A rank asks for one of its own micro-batches; steps and micro-steps count from 0. */
  z.strictObject({ v, type: z.literal("next"), step: count, microStep: count }),
  z.strictObject({
    v,
    type: z.literal("trainStep"),
    /** Optimiser steps finished, counting from 1. */
    step: count,
    loss: z.number(),
    learningRate: z.number(),
    gradNorm: z.number().nullable(),
    seconds: z.number(),
    /** Seconds of this step in which the device had to wait for the feed. */
    waitSeconds: z.number(),
  }),
  /** All of a checkpoint is written but what makes it count; rank 0 waits for `seal`. */
  z.strictObject({ v, type: z.literal("sealing"), step: count }),
  z.strictObject({ v, type: z.literal("checkpoint"), step: count, path }),
  /** A rank stands after the checkpoint of this step and waits for `evaluation`. */
  z.strictObject({ v, type: z.literal("evaluate"), step: count }),
  z.strictObject({ v, type: z.literal("trained"), step: count, path }),
]);

/** Orchestrator → worker or rank. */
export const downMessage = z.discriminatedUnion("type", [
  /** The answer to a hello that is not accepted; the peer leaves. */
  z.strictObject({ v, type: z.literal("refuse"), error: errorInfo }),
  z.strictObject({ v, type: z.literal("configure"), task }),
  /** Query vectors for the search task: rows [firstRow, firstRow + shape[0]) of the query matrix. */
  z.strictObject({ v, type: z.literal("queries"), firstRow: count, tensor: tensorSpec }),
  /** Pairs whose scores are wanted also outside the top-k: int32 [T] each, ascending by passage row. */
  z.strictObject({ v, type: z.literal("tracked"), queries: tensorSpec, rows: tensorSpec }),
  /**
   * Work: frame 1 is an Arrow IPC stream with row:int32, idRank:int32, and title:utf8, text:utf8 or, for stored vectors,
   * vector: a fixed-size list of float32, float16, uint16 (the bits of a bfloat16) or int8, then with scale:float32.
   * Where the task names files: file:int32 and offset:int32, the bytes from the file's begin to the vector, in the place of
   * vector, and scaleOffset:int32 in that of scale.
   */
  z.strictObject({ v, type: z.literal("unit"), unit: name, attempt: count, rowCount: count }),
  /** Asks for a snapshot of everything done so far. */
  z.strictObject({ v, type: z.literal("flush") }),
  /** Answers the hello of a worker that came by itself: the name it goes by. */
  z.strictObject({ v, type: z.literal("welcome"), name }),
  /** Files of the checkpoint, for a worker that may not see the orchestrator's disk; before `configure`. */
  z.strictObject({
    v,
    type: z.literal("files"),
    checkpoint: path,
    files: z.array(z.strictObject({ path, bytes: count, sha256: name })).max(1_000),
  }),
  /** The answer to `fetch`: frame 1 holds the bytes from `offset` on. */
  z.strictObject({ v, type: z.literal("piece"), file: path, offset: count }),
  /** The answer to `control`. */
  z.strictObject({
    v,
    type: z.literal("controlled"),
    isDone: z.boolean(),
    text,
    workers: z.array(z.strictObject({ name, host: name, device: name, state: name, doneRows: count })).max(1_000),
  }),
  /** Says that the orchestrator lives; a send that fails shows that the peer does not. */
  z.strictObject({ v, type: z.literal("ping") }),
  /** No more work: finish what is in hand, say bye, leave. */
  z.strictObject({ v, type: z.literal("drain") }),
  /**
   * One rank's share of a micro-step. Frame 1: queries (row, text). Frame 2: passages (row, title, text), query by
   * query. Columns are the passages of all ranks, rank by rank.
   */
  z.strictObject({
    v,
    type: z.literal("microBatch"),
    step: count,
    microStep: count,
    /** int32 [Q]: the column of each query's own positive. */
    positiveColumns: tensorSpec,
    /**
     * uint8 [Q, C]: why a column must not count as a negative of the query. Bits: 1 it is relevant to the query, or a
     * padding; 2 the passage has another column that counts; 4 it has one among those of the column's own rank; 8 its
     * text has a column in the query's own group.
     */
    mask: tensorSpec,
    /** float32 [Q, P]: the label of each of the query's own passages. */
    labels: tensorSpec,
    /** int32 [Q]: how many of the query's own passages are real; those behind them are paddings. */
    counts: tensorSpec,
    /** int32 [Q]: which of the task's sources each query comes from. */
    sources: tensorSpec,
  }),
  /** The answer to `sealing`: everything up to this step is told and written down; the checkpoint may count. */
  z.strictObject({ v, type: z.literal("seal"), step: count }),
  /**
   * The answer to `evaluate`: work for the pool of this ticket until it lets you go, then wait again. Without a ticket the
   * evaluation is over: go on, or, where it is the last one, end the training.
   */
  z.strictObject({ v, type: z.literal("evaluation"), ticketPath: path.nullable(), isLast: z.boolean() }),
  /**
   * A stop on request: leave after the step in hand. With `endsBatches` no rank gets a micro-batch of a further step:
   * leave instead of waiting for one. It may be told after the stop.
   */
  z.strictObject({ v, type: z.literal("stopTraining"), save: z.boolean(), endsBatches: z.boolean() }),
]);

export type UpMessage = z.infer<typeof upMessage>;
export type DownMessage = z.infer<typeof downMessage>;
/** A message as it is handed to the codec, which writes the version into it. */
export type Unversioned<Message extends UpMessage | DownMessage> = Message extends unknown ? Omit<Message, "v"> : never;
