/** Options as the editor shows them. Written by scripts/gen-options.mjs from schema.ts; do not edit. */

/** What a user writes: everything with a default may be left out. */
export interface ExperimentInput {
  /** Names the run folder. */
  name: string;
  /** The model that is evaluated, trained and mined with. */
  model: ModelInput;
  /** How to train; leave it out to use the model as it is. */
  train?: TrainInput | undefined;
  /** What to evaluate on. */
  evaluate?: EvaluateInput | undefined;
  /** Which hard negatives to mine. */
  mine?: MineInput | undefined;
  /** What to encode. */
  encode?: EncodeInput | undefined;
  /** What `quarry run` does, in order; default: train, evaluate, mine, encode, as far as they are present. */
  steps?: ("evaluate" | "train" | "mine" | "encode")[] | undefined;
  /** The worker processes for inference. */
  workers?: WorkersInput | undefined;
  /**
   * Seed of everything that is random.
   *
   * @defaultValue `42`
   */
  seed?: number | undefined;
  /** Where the run's files go; default: runs/<name> under the working folder. */
  runDir?: string | undefined;
  /** Where prepared data goes; default: $QUARRY_CACHE, else the user's cache folder. */
  cacheDir?: string | undefined;
}

/** A bi-encoder. */
export interface BiEncoderOptions {
  /** Commit, tag or branch on the hub. */
  revision?: string | undefined;
  /**
   * Runs the checkpoint's own Python code; needs a revision that is a commit.
   *
   * @defaultValue `false`
   */
  trustRemoteCode?: boolean | undefined;
  /**
   * Python files that register encoders and losses; paths relative to the script.
   *
   * @defaultValue `[]`
   */
  plugins?: string[] | undefined;
  /**
   * Name of a registered encoder.
   *
   * @defaultValue `"auto"`
   */
  encoder?: string | undefined;
  /**
   * Options of the encoder.
   *
   * @defaultValue `{}`
   */
  encoderOptions?: Record<string, unknown> | undefined;
  /** How token vectors become one; default: the checkpoint's own. */
  pooling?: "mean" | "cls" | "last" | undefined;
  /** Whether vectors get length 1; default: the checkpoint's own. */
  normalize?: boolean | undefined;
  /** How two vectors are compared; default: the checkpoint's own. */
  similarity?: "dot" | "cosine" | undefined;
  /** Texts put in front; default: the checkpoint's own. */
  prompts?: PromptsInput | undefined;
  /** Longest query in tokens; default: the checkpoint's own. */
  queryMaxLength?: number | undefined;
  /** Longest passage in tokens; default: the checkpoint's own. */
  passageMaxLength?: number | undefined;
  /**
   * Number format of inference; auto is bfloat16 on a GPU that has it, else float32.
   *
   * @defaultValue `"auto"`
   */
  dtype?: "auto" | "float32" | "bfloat16" | "float16" | undefined;
}

/** A bi-encoder, as `biEncoder(checkpoint, options)` gives it. */
export interface ModelInput extends BiEncoderOptions {
  /** Which builder made this. */
  kind: "biEncoder";
  /** A Hugging Face model id, a folder, or demoModel. */
  checkpoint: string;
}

/** Texts put in front of queries and passages. */
export interface PromptsInput {
  /** Text put before each query. */
  query?: string | undefined;
  /** Text put before each passage. */
  passage?: string | undefined;
}

/** How to train. */
export interface TrainInput {
  /** What the model learns from. */
  data: BinaryInput | MultiLevelInput;
  /** The loss and its options, e.g. { name: "infonce", temperature: 0.05 }. */
  loss?: LossInput | undefined;
  /**
   * Queries in one optimiser step, over all ranks.
   *
   * @defaultValue `32`
   */
  globalBatchSize?: number | undefined;
  /** Queries in one forward pass of a rank; default: the batch shared equally, no accumulation. */
  queriesPerRank?: number | undefined;
  /**
   * Training processes; auto is one per GPU, else one.
   *
   * @defaultValue `"auto"`
   */
  ranks?: number | "auto" | undefined;
  /** CPU threads of each rank; default: the cores shared equally. */
  threads?: number | undefined;
  /**
   * How often torchrun starts the ranks again after a death.
   *
   * @defaultValue `3`
   */
  maxRestarts?: number | undefined;
  /**
   * False turns dropout off: equal curves on any number of ranks.
   *
   * @defaultValue `true`
   */
  dropout?: boolean | undefined;
  /** Options of transformers' TrainingArguments, in camelCase. */
  args?: TrainingArgsInput | undefined;
}

/** Relevant passages and mined negatives. */
export interface BinaryOptions {
  /** Where relevant passages come from. */
  positives: SourceInput;
  /** Where explicit (mined) negatives come from; none means in-batch negatives only. */
  negatives?: SourceInput | undefined;
  /**
   * Explicit negatives in each query's group.
   *
   * @defaultValue `0`
   */
  negativesPerQuery?: number | undefined;
}

/** Relevant passages and mined negatives, as `binary({ … })` gives them. */
export interface BinaryInput extends BinaryOptions {
  /** Which builder made this. */
  kind: "binary";
}

/** Graded judgements. */
export interface MultiLevelOptions {
  /** Sources of graded judgements; where several judge a pair, the last one wins. */
  sources: SourceInput[];
  /**
   * Passages in each query's group; the first one has the highest label.
   *
   * @defaultValue `8`
   */
  passagesPerQuery?: number | undefined;
}

/** Graded judgements, as `multiLevel({ … })` gives them. */
export interface MultiLevelInput extends MultiLevelOptions {
  /** Which builder made this. */
  kind: "multiLevel";
}

/** A loss by name, with its own options beside it. */
export interface LossInput {
  /**
   * Name of a registered loss; further fields are its options.
   *
   * @defaultValue `"infonce"`
   */
  name?: string | undefined;
  /** Options of its own, checked when it is made. */
  [option: string]: unknown;
}

/** Options of transformers' TrainingArguments, in camelCase. */
export interface TrainingArgsInput {
  /**
   * Optimiser steps; -1 takes numTrainEpochs instead.
   *
   * @defaultValue `-1`
   */
  maxSteps?: number | undefined;
  /**
   * Passes over the training queries when maxSteps is -1.
   *
   * @defaultValue `1`
   */
  numTrainEpochs?: number | undefined;
  /**
   * Peak learning rate of AdamW.
   *
   * @defaultValue `0.00002`
   */
  learningRate?: number | undefined;
  /**
   * Weight decay of AdamW.
   *
   * @defaultValue `0`
   */
  weightDecay?: number | undefined;
  /**
   * First beta of AdamW.
   *
   * @defaultValue `0.9`
   */
  adamBeta1?: number | undefined;
  /**
   * Second beta of AdamW.
   *
   * @defaultValue `0.999`
   */
  adamBeta2?: number | undefined;
  /**
   * Epsilon of AdamW.
   *
   * @defaultValue `1e-8`
   */
  adamEpsilon?: number | undefined;
  /**
   * Gradients are clipped to this norm; 0 turns it off.
   *
   * @defaultValue `1`
   */
  maxGradNorm?: number | undefined;
  /**
   * Learning rate schedule, as transformers names it.
   *
   * @defaultValue `"linear"`
   */
  lrSchedulerType?: string | undefined;
  /**
   * Steps of warm-up; below 1 a share of all steps.
   *
   * @defaultValue `0`
   */
  warmupSteps?: number | undefined;
  /**
   * Optimiser, as transformers names it.
   *
   * @defaultValue `"adamw_torch"`
   */
  optim?: string | undefined;
  /**
   * Mixed precision in bfloat16.
   *
   * @defaultValue `false`
   */
  bf16?: boolean | undefined;
  /**
   * Mixed precision in float16.
   *
   * @defaultValue `false`
   */
  fp16?: boolean | undefined;
  /**
   * Trades compute for memory in the backward pass.
   *
   * @defaultValue `false`
   */
  gradientCheckpointing?: boolean | undefined;
  /**
   * A checkpoint every so many steps; one is always written at the end.
   *
   * @defaultValue `500`
   */
  saveSteps?: number | undefined;
  /**
   * Checkpoints kept; the last one always stays.
   *
   * @defaultValue `2`
   */
  saveTotalLimit?: number | undefined;
  /**
   * Compiles the model with torch.compile.
   *
   * @defaultValue `false`
   */
  torchCompile?: boolean | undefined;
}

/** Passages, queries and judgements. */
export interface SourceOptions {
  /** Passages: a corpus.jsonl in BEIR layout, or a folder that holds one. */
  corpus: string;
  /** Queries: a queries.jsonl in BEIR layout; defaults to the one beside the corpus. */
  queries?: string | undefined;
  /** Judgements: one or several TSV files (query id, passage id, score), with or without header; later files win. */
  qrels?: string | string[] | undefined;
  /** Keeps judgements with this score or a higher one (inclusive). */
  minScore?: number | undefined;
  /** Keeps judgements below this score (exclusive). */
  maxScore?: number | undefined;
  /** Replaces every kept score by this constant. */
  scoreTransform?: number | undefined;
  /** Takes this many passages of each query at random, anew in each epoch. */
  groupRandomK?: number | undefined;
}

/** Passages, queries and judgements, as `source({ … })` gives them. */
export interface SourceInput extends SourceOptions {
  /** Which builder made this. */
  kind: "source";
}

/** What to evaluate on. */
export interface EvaluateInput {
  /** Passages to search, queries and judgements. */
  data: SourceInput;
  /**
   * Measures as ir_measures writes them: nDCG@10, RR@10, R@100, AP@1000, P@5, Success@1.
   *
   * @defaultValue `["nDCG@10","RR@10","R@100"]`
   */
  measures?: string[] | undefined;
  /**
   * Passages kept for each query.
   *
   * @defaultValue `100`
   */
  topK?: number | undefined;
}

/** Which hard negatives to mine. */
export interface MineInput {
  /** Passages to mine from, and queries with their judgements. */
  data: SourceInput;
  /**
   * Passages retrieved for each query.
   *
   * @defaultValue `100`
   */
  topK?: number | undefined;
  /**
   * Highest-ranked passages that are skipped: likely positives without a label.
   *
   * @defaultValue `0`
   */
  skipTop?: number | undefined;
  /**
   * Negatives written for each query, best first.
   *
   * @defaultValue `10`
   */
  negativesPerQuery?: number | undefined;
}

/** What to encode. */
export interface EncodeInput {
  /** What to encode. */
  data: SourceInput;
  /**
   * Whether texts are encoded as passages or queries.
   *
   * @defaultValue `"passage"`
   */
  side?: "passage" | "query" | undefined;
}

/** The worker processes for inference. */
export interface WorkersInput {
  /**
   * Worker processes; auto is one per GPU, else one.
   *
   * @defaultValue `"auto"`
   */
  count?: number | "auto" | undefined;
  /** CPU threads of each worker; default: the cores shared equally. */
  threads?: number | undefined;
  /**
   * auto, cpu, cuda or cuda:N; auto gives each worker a GPU of its own where there are some.
   *
   * @defaultValue `"auto"`
   */
  device?: string | undefined;
  /**
   * Texts in one forward pass.
   *
   * @defaultValue `16`
   */
  batchSize?: number | undefined;
  /**
   * Texts in one unit of work: what is sorted by length together and done again after a death.
   *
   * @defaultValue `256`
   */
  unitSize?: number | undefined;
  /**
   * Units a worker holds ahead, so that it never waits.
   *
   * @defaultValue `8`
   */
  credits?: number | undefined;
  /**
   * Workers that a unit may kill before it counts as failed.
   *
   * @defaultValue `3`
   */
  maxAttempts?: number | undefined;
  /**
   * A worker silent for this long is killed and its work given to others.
   *
   * @defaultValue `15000`
   */
  heartbeatTimeoutMs?: number | undefined;
  /**
   * A worker without progress on a unit for this long is killed.
   *
   * @defaultValue `600000`
   */
  unitTimeoutMs?: number | undefined;
}
