/**
 * Every option of an experiment, its default and its sentence: the only source of the editor's help (options.generated.ts),
 * of `--help`, of validation and of the documentation.
 */
import { z } from "zod";
import { towerFields } from "./adapter-schema.js";
import { rerankSchema } from "./cross-encoder-schema.js";
import { promptsSchema, searchDataSchema, trainingDataSchema, validationSchema } from "./data-schema.js";
import { evaluateSchema, trainEvaluateSchema } from "./evaluate-schema.js";
import { indexSchema, savedIndexSchema } from "./index-schema.js";
import { maxLength, name, path, positive, topK } from "./limits.js";
import type { LossInput } from "./loss-types.js";
import { mineFields, retrieverFields } from "./mine-schema.js";
import { nodeSchema, trainNodeSchema } from "./nodes-schema.js";
import type { PoolingName, TrainRetrieverInput } from "./plugin-types.js";
import { refreshFields, refreshMineFields } from "./refresh-schema.js";
import { sideWorkersSchema } from "./side-schema.js";
import { furtherArgs, OPTIMIZERS, SCHEDULES } from "./training-args.generated.js";

export const modelSchema = z.strictObject({
  kind: z.literal("biEncoder"),
  checkpoint: path.describe("A Hugging Face model id, a folder, or demoModel."),
  revision: name.optional().describe("Commit, tag or branch on the hub."),
  trustRemoteCode: z
    .boolean()
    .default(false)
    .describe("Runs the checkpoint's own Python code; needs a revision that is a commit."),
  plugins: z
    .array(path)
    .max(64)
    .default([])
    .describe("Python files that register encoders, losses and the like; paths relative to the script."),
  encoder: name.default("auto").describe("Name of a registered encoder."),
  encoderOptions: z.record(z.string(), z.unknown()).default({}).describe("Options of the encoder."),
  pooling: (name.meta({ type: "PoolingName" }) as z.ZodType<unknown> as z.ZodType<PoolingName, PoolingName>)
    .optional()
    .describe(
      "How token vectors become one: mean, cls, last, weightedmean, max, mean_sqrt_len, or what a plugin registers; default: the checkpoint's own.",
    ),
  normalize: z.boolean().optional().describe("Whether vectors get length 1; default: the checkpoint's own."),
  similarity: name
    .optional()
    .describe(
      "How two vectors are compared: dot, cosine, euclidean, manhattan, or one that a plugin registers; default: the checkpoint's own.",
    ),
  prompts: promptsSchema.prefault({}).describe("Texts put in front; default: the checkpoint's own."),
  queryMaxLength: maxLength.optional().describe("Longest query in tokens; default: the checkpoint's own."),
  passageMaxLength: maxLength.optional().describe("Longest passage in tokens; default: the checkpoint's own."),
  ...towerFields,
  dtype: z
    .enum(["auto", "float32", "bfloat16", "float16"])
    .default("auto")
    .describe("Number format of inference; auto is bfloat16 on a GPU that has it, else float32."),
});

export const workersSchema = z.strictObject({
  count: z
    .union([z.int().min(0), z.literal("auto")])
    .default("auto")
    .describe("Worker processes on this machine; auto is one per GPU, else one; 0 leaves the work to those that join."),
  listen: z
    .string()
    .optional()
    .describe(
      "Where workers on other machines can join, e.g. tcp://10.0.0.5:4555; port 0 takes any. Default: nowhere.",
    ),
  nodes: z
    .array(nodeSchema)
    .max(1_000)
    .default([])
    .describe("Workers on other machines, started and ended with the run; needs workers.listen."),
  threads: positive.optional().describe("CPU threads of each worker; default: the cores shared equally."),
  device: z
    .string()
    .default("auto")
    .describe(
      "auto, cpu, cuda or cuda:N; auto gives each worker a GPU of its own where there are some. Training takes cpu and cuda:N as well: one rank on that GPU.",
    ),
  batchSize: z
    .union([positive.max(65_536), z.literal("auto")])
    .optional()
    .describe(
      "Texts in one forward pass; default: 16, or 128 where workers have a GPU of this machine. auto measures which size is fastest once and keeps it for the run folder's life.",
    ),
  unitSize: positive
    .max(65_536)
    .optional()
    .describe(
      "Texts in one unit of work: what is sorted by length together and done again after a death; default: 256, or batchSize where that is more. A forward pass takes no more.",
    ),
  credits: positive.max(1_024).default(8).describe("Units a worker holds ahead, so that it never waits."),
  maxAttempts: positive.max(200).default(3).describe("Workers that a unit may kill before it counts as failed."),
  heartbeatTimeoutMs: z
    .int()
    .min(3_000)
    .default(15_000)
    .describe("A worker silent for this long is killed and its work given to others."),
  unitTimeoutMs: positive.default(600_000).describe("A worker without progress on a unit for this long is killed."),
});

export const trainingArgsSchema = z.strictObject({
  maxSteps: z.int().min(-1).default(-1).describe("Optimiser steps; -1 takes numTrainEpochs instead."),
  numTrainEpochs: z.number().positive().default(1).describe("Passes over the training queries when maxSteps is -1."),
  learningRate: z.number().positive().default(2e-5).describe("Peak learning rate of AdamW."),
  weightDecay: z.number().min(0).default(0).describe("Weight decay of AdamW."),
  adamBeta1: z.number().min(0).lt(1).default(0.9).describe("First beta of AdamW."),
  adamBeta2: z.number().min(0).lt(1).default(0.999).describe("Second beta of AdamW."),
  adamEpsilon: z.number().positive().default(1e-8).describe("Epsilon of AdamW."),
  maxGradNorm: z.number().min(0).default(1).describe("Gradients are clipped to this norm; 0 turns it off."),
  lrSchedulerType: z.enum(SCHEDULES).default("linear").describe("Learning rate schedule, as transformers names it."),
  warmupSteps: z.number().min(0).default(0).describe("Steps of warm-up; below 1 a share of all steps."),
  optim: z.enum(OPTIMIZERS).default("adamw_torch").describe("Optimiser, as transformers names it."),
  bf16: z.boolean().default(false).describe("Mixed precision in bfloat16."),
  fp16: z.boolean().default(false).describe("Mixed precision in float16."),
  gradientCheckpointing: z.boolean().default(false).describe("Trades compute for memory in the backward pass."),
  saveSteps: positive.default(500).describe("A checkpoint every so many steps; one is always written at the end."),
  saveTotalLimit: positive.default(2).describe("Checkpoints kept; the last one always stays."),
  torchCompile: z.boolean().default(false).describe("Compiles the model with torch.compile."),
  fsdp: z
    .boolean()
    .default(false)
    .describe(
      "Shards weights, gradients and optimiser over the ranks (FSDP2), for models that one device cannot hold.",
    ),
  ...furtherArgs,
});

export const matryoshkaSchema = z.strictObject({
  dimensions: z
    .array(positive)
    .min(1)
    .max(64)
    .describe("Numbers of leading dimensions that are to work on their own, e.g. [384, 128, 64]."),
  weights: z
    .array(z.number().positive())
    .min(1)
    .max(64)
    .optional()
    .describe("Weight of the loss on each of the dimensions; default: 1 for each."),
});

export const lossSchema = z.looseObject({
  name: name.default("infonce").describe("Name of a registered loss; further fields are its options."),
  weight: z.number().positive().optional().describe("Factor of this loss where there are several; default: 1."),
  sources: z
    .array(name)
    .min(1)
    .max(1_000)
    .optional()
    .describe("Names of parts of a mix whose queries have this loss; default: all of them."),
  matryoshka: matryoshkaSchema
    .optional()
    .describe("Computes the loss on leading dimensions too, so that vectors can be cut short."),
});
export const trainRetrieverSchema = z.looseObject({
  name: name.describe("Name of a retriever that a plugin registers; further fields are its options."),
});
const typedRetriever = trainRetrieverSchema as z.ZodType<unknown> as z.ZodType<
  z.output<typeof trainRetrieverSchema>,
  TrainRetrieverInput
>;

/** The editor sees the options of each loss by its name: loss-types.ts. */
const lossOption = z.union([lossSchema, z.array(lossSchema).min(1).max(64)]) as unknown as z.ZodType<
  LossConfig | LossConfig[],
  LossInput | LossInput[]
>;

export const retrieverSchema = z.strictObject({
  model: modelSchema.optional().describe("A bi-encoder, as biEncoder(…) gives it."),
  ...retrieverFields,
});

const retrievers = z
  .array(retrieverSchema)
  .max(16)
  .default([])
  .describe('Further retrievers, each { model: biEncoder(…) } or { run: "bm25.run.gz" }.');

export const refreshMineSchema = z.strictObject({ ...refreshMineFields, retrievers });

export const refreshSchema = z.strictObject({
  ...refreshFields,
  mine: refreshMineSchema.prefault({}).describe("How to mine: the options of mine, but for its output."),
  workers: sideWorkersSchema.prefault({}).describe("Worker processes that mine while the ranks go on."),
});

export const trainSchema = z.strictObject({
  data: trainingDataSchema.describe("What the model learns from."),
  loss: lossOption
    .prefault({})
    .describe('The loss and its options, e.g. { name: "infonce", temperature: 0.05 }; several are summed by weight.'),
  retriever: typedRetriever
    .optional()
    .describe("A plugin's whole retriever, queries and passages in, loss out; default: Quarry's own."),
  globalBatchSize: positive.default(32).describe("Queries in one optimiser step, over all ranks."),
  queriesPerRank: positive
    .optional()
    .describe("Queries in one forward pass of a rank; default: the batch shared equally, no accumulation."),
  miniBatchSize: positive
    .optional()
    .describe(
      "Queries, and passages, that a rank encodes at a time (GradCache): memory of so few texts, negatives of the whole batch; default: all at once.",
    ),
  lengthGroups: z
    .union([positive, z.literal("auto")])
    .default("auto")
    .describe(
      "In how many groups of like length the texts of a side are encoded, each padded by itself; auto: as many as save time. With miniBatchSize, its pieces are the groups.",
    ),
  ranks: z
    .union([positive, z.literal("auto")])
    .default("auto")
    .describe("Training processes on each machine; auto is one per GPU, or one on the CPU."),
  nodes: z
    .array(trainNodeSchema)
    .max(1_000)
    .default([])
    .describe("Machines that train along with this one; they reach it at workers.listen."),
  minNodes: positive
    .optional()
    .describe(
      "Training goes on with so many machines where others are lost for good; default: all, this one included.",
    ),
  startTimeoutMs: positive
    .default(300_000)
    .describe("For all ranks of a start to be there; more where machines wait in a queue."),
  threads: positive.optional().describe("CPU threads of each rank; default: the cores shared equally."),
  maxRestarts: z.int().min(0).default(3).describe("How often torchrun starts the ranks again after a death."),
  dropout: z.boolean().default(true).describe("False turns dropout off: equal curves on any number of ranks."),
  evaluate: trainEvaluateSchema
    .optional()
    .describe("Measures checkpoints on held-out data while training goes on: curves, the best one, early stopping."),
  args: trainingArgsSchema.prefault({}).describe("Options of transformers' TrainingArguments, in camelCase."),
  refresh: refreshSchema
    .optional()
    .describe("Mines the negatives anew with the model in training, every so many steps, while it goes on."),
});

export const mineSchema = z.strictObject({
  ...mineFields,
  retrievers,
});

export const encodeSchema = z.strictObject({
  data: searchDataSchema.describe("What to encode."),
  side: z.enum(["passage", "query"]).default("passage").describe("Whether texts are encoded as passages or queries."),
  export: z
    .enum(["npy", "parquet", "faiss", "none"])
    .default("npy")
    .describe("What the vectors are written as: a NumPy matrix, Parquet, a FAISS index; none only fills the store."),
  index: indexSchema.optional().describe('Which FAISS index export "faiss" writes; default: flat.'),
});

export const embeddingsSchema = z.strictObject({
  store: z
    .boolean()
    .default(true)
    .describe("Keeps vectors in the cache, so that no text is encoded twice; false encodes and searches in one go."),
  dtype: z
    .enum(["float32", "float16", "bfloat16", "int8"])
    .default("float32")
    .describe("Number format of stored passages; they are searched as kept, queries stay float32."),
  unencodable: z
    .enum(["error", "warn", "drop"])
    .default("error")
    .describe(
      "Passages without a finite vector, or that end whatever worker tries them: found by halving their units; warn and drop leave them out.",
    ),
});

export const searchSchema = z.strictObject({
  data: searchDataSchema.describe("Passages to search, and queries unless texts are given."),
  topK: topK.default(10).describe("Passages found for each query."),
  index: z
    .union([z.literal("exact"), indexSchema, savedIndexSchema])
    .default("exact")
    .describe(
      'How to search: exact is the workers\' own search; { kind: "ivf" } builds a FAISS index; { folder } takes a saved one, --index for short.',
    ),
  texts: z
    .array(z.string().min(1).max(65_536))
    .min(1)
    .max(1_000)
    .optional()
    .describe("Questions to search for in place of the queries of the data; --text asks one from the command line."),
});

export const stepNames = ["evaluate", "train", "mine", "encode", "search"] as const;

export const experimentSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[\w.-]+$/, "letters, digits, '.', '_' and '-' only")
    .describe("Names the run folder."),
  model: modelSchema.describe("The model that is evaluated, trained and mined with."),
  train: trainSchema.optional().describe("How to train; leave it out to use the model as it is."),
  evaluate: evaluateSchema.optional().describe("What to evaluate on."),
  rerank: rerankSchema
    .optional()
    .describe("A cross-encoder that ranks what evaluation found once more; measured before and after."),
  mine: mineSchema.optional().describe("Which hard negatives to mine."),
  encode: encodeSchema.optional().describe("What to encode."),
  search: searchSchema.optional().describe("What to search, and for what."),
  embeddings: embeddingsSchema.prefault({}).describe("The store of vectors, which all steps share."),
  steps: z
    .array(z.enum(stepNames))
    .optional()
    .describe(
      "What `quarry run` does, in order; default: train, evaluate, mine, encode, search, as far as they are present.",
    ),
  validation: validationSchema
    .prefault({})
    .describe("What happens to faults in the data: error stops, warn tells and goes on, drop goes on."),
  workers: workersSchema.prefault({}).describe("The worker processes for inference."),
  seed: z.int().min(0).max(0xffffffff).default(42).describe("Seed of everything that is random."),
  runDir: z.string().optional().describe("Where the run's files go; default: runs/<name> under the working folder."),
  cacheDir: z
    .string()
    .optional()
    .describe("Where prepared data goes; default: $QUARRY_CACHE, else the user's cache folder."),
});

export type * from "./adapter-schema.js";
export type * from "./cross-encoder-schema.js";
export type * from "./data-schema.js";
export type * from "./evaluate-schema.js";
export type * from "./index-schema.js";
export type * from "./nodes-schema.js";
export type * from "./side-schema.js";

/** What Quarry works with: every default filled in. */
export type ExperimentConfig = z.output<typeof experimentSchema>;
export type ModelConfig = z.output<typeof modelSchema>;
export type WorkersConfig = z.output<typeof workersSchema>;
export type LossConfig = z.output<typeof lossSchema>;
export type TrainConfig = z.output<typeof trainSchema>;
export type RefreshConfig = z.output<typeof refreshSchema>;
export type RetrieverConfig = z.output<typeof retrieverSchema>;
export type MineConfig = z.output<typeof mineSchema>;
export type EncodeConfig = z.output<typeof encodeSchema>;
export type SearchConfig = z.output<typeof searchSchema>;
