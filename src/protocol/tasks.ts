/**
 * What messages carry: models, tasks and errors. Part of the wire's only source; messages.ts is the page to open.
 */
import { z } from "zod";

export const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
export const row = z.int().min(0).max(0x7fffffff);
export const name = z.string().min(1).max(256);
export const text = z.string().max(65_536);
export const path = z.string().min(1).max(4_096);

/** How a raw tensor lies in a binary frame: C order, little endian. */
export const tensorSpec = z.strictObject({
  dtype: z.enum(["float32", "float16", "bfloat16", "int32", "int8", "uint8"]),
  shape: z.array(count).max(4),
  frame: z.int().min(1).max(16),
});

/** A new LoRA, rsLoRA or DoRA on a model that is about to be trained; null targets are all linear modules. */
export const adapterSpec = z.strictObject({
  r: z.int().min(1).max(65_536),
  alpha: z.number().positive(),
  dropout: z.number().min(0).lt(1),
  targetModules: z.array(name).min(1).max(64).nullable(),
  rslora: z.boolean(),
  dora: z.boolean(),
  /** What the frozen weights are held in; the adapter's own are float32. */
  baseDtype: z.enum(["float32", "bfloat16"]),
});

/** A user's Python file, and what it held when the run first read it; null takes it as it is. */
export const pluginFile = z.strictObject({ path, sha256: name.nullable() });

/** What a worker must know to build a model; null means "as the checkpoint says". */
export const modelSpec = z.strictObject({
  checkpoint: path,
  revision: name.nullable(),
  trustRemoteCode: z.boolean(),
  encoder: name,
  encoderOptions: z.record(z.string(), z.unknown()),
  plugins: z.array(pluginFile).max(64),
  /** A pooling's name, one that a plugin registers, or several joined by "+". */
  pooling: name.nullable(),
  normalize: z.boolean().nullable(),
  /** dot, cosine, or a similarity that a plugin registers. */
  similarity: name.nullable(),
  queryPrompt: text.nullable(),
  passagePrompt: text.nullable(),
  queryMaxLength: z.int().min(1).max(1_000_000).nullable(),
  passageMaxLength: z.int().min(1).max(1_000_000).nullable(),
  appendEos: z.boolean().nullable(),
  padToMultipleOf: z.int().min(1).max(1_024).nullable(),
  /** "separate" gives queries an encoder of their own. */
  towers: z.enum(["tied", "separate"]).nullable(),
  /** Where the queries' own encoder starts, if not as a copy of the passages'. */
  queryCheckpoint: path.nullable(),
  queryRevision: name.nullable(),
  /** Taken note of in training only; afterwards it lies in the checkpoint. */
  adapter: adapterSpec.nullable(),
  quantization: z.enum(["8bit", "4bit"]).nullable(),
  dtype: z.enum(["auto", "float32", "bfloat16", "float16"]),
});

/** What a loaded model turned out to be: every null of the spec resolved. */
export const modelContract = z.strictObject({
  checkpoint: path,
  architecture: name,
  dimension: count,
  pooling: name,
  normalize: z.boolean(),
  similarity: name,
  queryPrompt: text,
  passagePrompt: text,
  queryMaxLength: count,
  passageMaxLength: count,
  paddingSide: z.enum(["left", "right"]),
  dtype: z.enum(["float32", "bfloat16", "float16"]),
  parameterCount: count,
  /** The hub's commit that the files came from; null for a folder and for the embedded model. */
  revision: name.nullable(),
  /** SHA-256 over everything that determines a vector: weights, tokenizer, pooling, prompts, lengths, dtype. */
  fingerprint: name,
});

/** A cross-encoder: a checkpoint of sequence classification, or a language model that ranks; null means "as the checkpoint says". */
export const crossEncoderSpec = z.strictObject({
  checkpoint: path,
  revision: name.nullable(),
  trustRemoteCode: z.boolean(),
  /** Tokens of query and passage together. */
  maxLength: z.int().min(1).max(1_000_000).nullable(),
  /** What makes a logit a score. */
  activation: z.enum(["identity", "sigmoid", "softmax"]).nullable(),
  /** Which logit of several counts; null is the last one, as in (not relevant, relevant). */
  label: count.nullable(),
  /** What a pair becomes, with {query} and {passage}; null is the checkpoint's chat template, or both texts as they are. */
  template: text.nullable(),
  /** In front of the query, or in a chat template's system message; null is the checkpoint's own. */
  prompt: text.nullable(),
  /** Of a language model: the tokens whose logits say yes and no; null is the checkpoint's own. */
  trueToken: name.nullable(),
  falseToken: name.nullable(),
  dtype: z.enum(["auto", "float32", "bfloat16", "float16"]),
});

/** What a loaded cross-encoder turned out to be. */
export const crossEncoderContract = z.strictObject({
  checkpoint: path,
  architecture: name,
  labelCount: count,
  label: count,
  maxLength: count,
  activation: z.enum(["identity", "sigmoid", "softmax"]),
  /** Null: both texts as the tokenizer joins them. */
  template: text.nullable(),
  /** Of a language model: ids of the tokens that say yes and no, or yes alone. */
  tokens: z.array(count).max(2),
  dtype: z.enum(["float32", "bfloat16", "float16"]),
  parameterCount: count,
  revision: name.nullable(),
  /** SHA-256 over everything that determines a score. */
  fingerprint: name,
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

/** The same for a cross-encoder, by a sample of pairs. */
const probeScoreTask = z.strictObject({
  kind: z.literal("probeScore"),
  model: crossEncoderSpec,
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
  /** Files of stored vectors, for a worker that sees the orchestrator's disk: its units name places in them. */
  files: z.array(path).max(1_000),
  /** What vectors come as; those made here are rounded to it before they are scored, so that both ways score alike. */
  vectorDtype,
  scoring: z.strictObject({
    similarity: name,
    /** Cosine of a model that does not normalise: both sides get length 1 here. */
    isNormalizing: z.boolean(),
    plugins: z.array(pluginFile).max(64),
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
  /** Groups of like length in which the texts of a side are encoded; null leaves their number to the lengths. */
  lengthGroups: z.int().min(1).nullable(),
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

export const task = z.discriminatedUnion("kind", [
  encodeTask,
  searchTask,
  scoreTask,
  probeTask,
  probeScoreTask,
  trainTask,
]);

export type TensorSpec = z.infer<typeof tensorSpec>;
export type PluginFile = z.infer<typeof pluginFile>;
export type AdapterSpec = z.infer<typeof adapterSpec>;
export type ModelSpec = z.infer<typeof modelSpec>;
export type ModelContract = z.infer<typeof modelContract>;
export type CrossEncoderSpec = z.infer<typeof crossEncoderSpec>;
export type CrossEncoderContract = z.infer<typeof crossEncoderContract>;
export type VectorDtype = z.infer<typeof vectorDtype>;
export type LossSpec = z.infer<typeof lossSpec>;
export type ErrorInfo = z.infer<typeof errorInfo>;
export type Task = z.infer<typeof task>;
