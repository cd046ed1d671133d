/**
 * Every message on the wire, both directions, on one page: the only source of both languages' types.
 *
 * A message is frame 0 (msgpack, one of the objects below), then binary frames, then a crc32 over all of them.
 * Binary frames are Arrow IPC streams or raw little-endian tensors; `TensorSpec.frame` counts from 1.
 * Every field is required; "nothing" is null, so that both languages agree on what a message looks like.
 */
import { z } from "zod";
import { type adapterSpec, crossEncoderContract, crossEncoderSpec, modelContract, modelSpec } from "./models.js";
import { PROTOCOL_VERSION } from "./version.js";

const v = z.literal(PROTOCOL_VERSION);
const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const row = z.int().min(0).max(0x7fffffff);
const name = z.string().min(1).max(256);
const text = z.string().max(65_536);
const path = z.string().min(1).max(4_096);

/** How a raw tensor lies in a binary frame: C order, little endian. */
export const tensorSpec = z.strictObject({
  dtype: z.enum(["float32", "float16", "bfloat16", "int32", "int8", "uint8"]),
  shape: z.array(count).max(4),
  frame: z.int().min(1).max(16),
});

/** A failure as it travels; the same kinds as src/errors.ts. */
export const errorInfo = z.strictObject({
  code: z.enum(["INTERNAL", "CONFIG", "DATA", "ENVIRONMENT", "WORKER", "INTEGRITY", "PROTOCOL", "INTERRUPTED"]),
  message: text,
  hint: text.nullable(),
  isRetryable: z.boolean(),
  /** Row numbers of the texts that caused it, when they are known; the first 1,000. */
  rows: z.array(row).max(1_000),
});

/** How vectors are kept: int8 has a float32 scale for each vector, vector ≈ scale × codes. */
const vectorDtype = z.enum(["float32", "float16", "bfloat16", "int8"]);

/** Texts in, vectors out. */
const encodeTask = z.strictObject({
  kind: z.literal("encode"),
  model: modelSpec,
  side: z.enum(["query", "passage"]),
  batchSize: z.int().min(1).max(65_536),
  vectorDtype,
});

/** Finds the batch size that encodes a sample of texts fastest; one unit, answered by `probed`. */
const probeTask = z.strictObject({
  kind: z.literal("probe"),
  model: modelSpec,
  side: z.enum(["query", "passage"]),
  maxBatchSize: z.int().min(1).max(65_536),
});

/** Pairs of query and passage in, scores [N] out. Units have the columns row, query, title, text. */
const scoreTask = z.strictObject({
  kind: z.literal("score"),
  model: crossEncoderSpec,
  batchSize: z.int().min(1).max(65_536),
});

/** Passages in, as texts or as stored vectors; running top-k against queries sent beforehand; snapshots out. */
const searchTask = z.strictObject({
  kind: z.literal("search"),
  /** Null when units hold vectors: then no model is loaded. */
  model: modelSpec.nullable(),
  input: z.enum(["texts", "vectors"]),
  /** What vectors come as; those made here are rounded to it before they are scored, so that both ways score alike. */
  vectorDtype,
  scoring: z.strictObject({
    similarity: name,
    /** Cosine of a model that does not normalise: both sides get length 1 here. */
    isNormalizing: z.boolean(),
    plugins: z.array(path).max(64),
  }),
  /** Pairs that a `tracked` message names before the first unit; 0 for none. */
  trackedCount: count,
  batchSize: z.int().min(1).max(65_536),
  topK: z.int().min(1).max(1_000_000),
  queryCount: count,
  dimension: count,
  /** A snapshot is handed in after this many units, and whenever one is asked for. */
  snapshotEveryUnits: z.int().min(1).max(1_000),
});

/** One loss of several: what it weighs, and which parts of the data it is for; an empty list stands for all. */
export const lossSpec = z.strictObject({
  name,
  weight: z.number(),
  sources: z.array(name).max(1_000),
  /** Leading dimensions that it is computed on, each with its weight; no weights are all 1. */
  matryoshka: z
    .strictObject({ dimensions: z.array(count).min(1).max(64), weights: z.array(z.number()).max(64) })
    .nullable(),
  options: z.record(z.string(), z.unknown()),
});

/** A retriever that a plugin registers, and its options. */
export const retrieverSpec = z.strictObject({ name, options: z.record(z.string(), z.unknown()) });

/** One rank of a training run; `args` are transformers.TrainingArguments in snake_case. */
const trainTask = z.strictObject({
  kind: z.literal("train"),
  model: modelSpec,
  losses: z.array(lossSpec).min(1).max(64),
  /** What the parts of the training data are called, in the order of the numbers that micro-batches give. */
  sources: z.array(name).min(1).max(1_000),
  /** A plugin's whole retriever; null is Quarry's own. */
  retriever: retrieverSpec.nullable(),
  args: z.record(z.string(), z.unknown()),
  outputDir: path,
  maxSteps: z.int().min(1),
  queriesPerRank: z.int().min(1),
  passagesPerQuery: z.int().min(1),
  accumulationSteps: z.int().min(1),
  /** Texts of one side that are encoded with gradient at a time (GradCache); null takes all at once. */
  miniBatchSize: z.int().min(1).nullable(),
  seed: z.int().min(0).max(0xffffffff),
  /** A complete checkpoint's folder; null starts from the model. */
  resumeFrom: path.nullable(),
  /** False turns every dropout off, for equal curves on any world size. */
  isDropoutOn: z.boolean(),
  /** A checkpoint is written every so many steps besides those of save_steps; null for no others. */
  checkpointEvery: z.int().min(1).nullable(),
  /** A checkpoint is due every so many steps as well, to be evaluated; null without evaluation. */
  evalSteps: z.int().min(1).nullable(),
  /** Whether the ranks evaluate it themselves, and pause for that. */
  isEvaluating: z.boolean(),
});

export const task = z.discriminatedUnion("kind", [encodeTask, searchTask, scoreTask, probeTask, trainTask]);

/** Worker or rank → orchestrator. */
export const upMessage = z.discriminatedUnion("type", [
  z.strictObject({
    v,
    type: z.literal("hello"),
    /** `control` is a command of the user's that asks about or changes the pool. */
    role: z.enum(["worker", "rank", "control"]),
    name,
    token: name,
    pid: count,
    host: name,
    device: name,
    deviceName: name,
    memoryBytes: count,
    threads: count,
    dtypes: z.array(name).max(16),
    versions: z.record(z.string(), z.string()),
    /** Rank and world size of a training process; 0 and 1 for a worker. */
    rank: count,
    worldSize: count,
  }),
  z.strictObject({
    v,
    type: z.literal("ready"),
    task: name,
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
  z.strictObject({ v, type: z.literal("done"), unit: name, attempt: count, rowCount: count, seconds: z.number() }),
  /** The whole running top-k, [queryCount, topK], padded with row -1; `units` are those new since the last one. */
  z.strictObject({
    v,
    type: z.literal("snapshot"),
    sequence: count,
    units: z.array(z.strictObject({ unit: name, attempt: count })).max(1_000),
    scores: tensorSpec,
    rows: tensorSpec,
    /** float32 [trackedCount]: scores of the tracked pairs seen so far, -inf for the others; null without such pairs. */
    tracked: tensorSpec.nullable(),
  }),
  z.strictObject({ v, type: z.literal("failed"), unit: name, attempt: count, error: errorInfo }),
  /** `progress` grows with each finished batch or step: a beat without growth is a hang, no beat is worse. */
  z.strictObject({ v, type: z.literal("heartbeat"), unit: name.nullable(), progress: count, rssBytes: count }),
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
  /** A worker on another machine asks for a piece of a file of the model. */
  z.strictObject({ v, type: z.literal("fetch"), file: path, offset: count }),
  /** A user's command; answered by `controlled`. */
  z.strictObject({ v, type: z.literal("control"), action: z.enum(["list", "drain"]), worker: name.nullable() }),
  /** A rank asks for one of its own micro-batches; steps and micro-steps count from 0. */
  z.strictObject({ v, type: z.literal("next"), step: count, microStep: count, rank: count }),
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
    /** uint8 [Q, C]: 1 where a column must not count as a negative of the query. */
    mask: tensorSpec,
    /** float32 [Q, P]: the label of each of the query's own passages. */
    labels: tensorSpec,
    /** int32 [Q]: how many of the query's own passages are real; those behind them are paddings. */
    counts: tensorSpec,
    /** int32 [Q]: which of the task's sources each query comes from. */
    sources: tensorSpec,
  }),
  /**
   * The answer to `evaluate`: work for the pool of this ticket until it lets you go, then wait again. Without a ticket the
   * evaluation is over: go on, or, where it is the last one, end the training.
   */
  z.strictObject({ v, type: z.literal("evaluation"), step: count, ticketPath: path.nullable(), isLast: z.boolean() }),
  /** No more micro-batches: save and leave (a stop on request). */
  z.strictObject({ v, type: z.literal("stopTraining"), save: z.boolean() }),
]);

export type TensorSpec = z.infer<typeof tensorSpec>;
export type AdapterSpec = z.infer<typeof adapterSpec>;
export type ModelSpec = z.infer<typeof modelSpec>;
export type ModelContract = z.infer<typeof modelContract>;
export type CrossEncoderSpec = z.infer<typeof crossEncoderSpec>;
export type CrossEncoderContract = z.infer<typeof crossEncoderContract>;
export type VectorDtype = z.infer<typeof vectorDtype>;
export type LossSpec = z.infer<typeof lossSpec>;
export type ErrorInfo = z.infer<typeof errorInfo>;
export type Task = z.infer<typeof task>;
export type UpMessage = z.infer<typeof upMessage>;
export type DownMessage = z.infer<typeof downMessage>;
