/** Options as the editor shows them. Written by scripts/gen-options.mjs from schema.ts; do not edit. */
import type { FunctionStep, Triplet, TripletGroup } from "./function-step.js";
import type { LossInput } from "./loss-types.js";
import type { PoolingName, TrainRetrieverInput } from "./plugin-types.js";

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
  /** A cross-encoder that ranks what evaluation found once more; measured before and after. */
  rerank?: RerankInput | undefined;
  /** Which hard negatives to mine. */
  mine?: MineInput | undefined;
  /** What to encode. */
  encode?: EncodeInput | undefined;
  /** What to search, and for what. */
  search?: SearchInput | undefined;
  /** The store of vectors, which all steps share. */
  embeddings?: EmbeddingsInput | undefined;
  /** What `quarry run` does, in order; default: train, evaluate, mine, encode, search, as far as they are present. */
  steps?: readonly ("evaluate" | "train" | "mine" | "encode" | "search")[] | undefined;
  /** What happens to faults in the data: error stops, warn tells and goes on, drop goes on. */
  validation?: ValidationInput | undefined;
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
   * Python files that register encoders, losses and the like; paths relative to the script.
   *
   * @defaultValue `[]`
   */
  plugins?: readonly string[] | undefined;
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
  /** How token vectors become one: mean, cls, last, weightedmean, max, mean_sqrt_len, or what a plugin registers; default: the checkpoint's own. */
  pooling?: PoolingName | undefined;
  /** Whether vectors get length 1; default: the checkpoint's own. */
  normalize?: boolean | undefined;
  /** How two vectors are compared: dot, cosine, euclidean, manhattan, or one that a plugin registers; default: the checkpoint's own. */
  similarity?: string | undefined;
  /** Texts put in front; default: the checkpoint's own. */
  prompts?: PromptsInput | undefined;
  /** Longest query in tokens; default: the checkpoint's own. */
  queryMaxLength?: number | undefined;
  /** Longest passage in tokens; default: the checkpoint's own. */
  passageMaxLength?: number | undefined;
  /** Ends every text with exactly one end token, whatever the tokenizer does; default: as the checkpoint has it. */
  appendEos?: boolean | undefined;
  /** Pads each batch to a multiple of so many tokens, in training and inference; 8 suits most GPUs. */
  padToMultipleOf?: number | undefined;
  /** Whether queries and passages share one encoder; default: as the checkpoint has it, tied for most. */
  towers?: "tied" | "separate" | undefined;
  /** Where the queries' own encoder starts; default with separate towers: as a copy of the passages'. */
  queryCheckpoint?: string | undefined;
  /** Commit, tag or branch of queryCheckpoint on the hub. */
  queryRevision?: string | undefined;
  /** Trains an adapter and leaves the model's own weights alone, as lora({ … }) gives it. */
  adapter?: LoraInput | undefined;
  /** Holds the weights in 8 or 4 bits through bitsandbytes; to train such a model, give it an adapter (QLoRA). */
  quantization?: "8bit" | "4bit" | undefined;
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

/** LoRA, rsLoRA or DoRA. */
export interface LoraOptions {
  /**
   * Rank of the two matrices that are trained for each module.
   *
   * @defaultValue `16`
   */
  r?: number | undefined;
  /**
   * What they add is scaled by alpha / r, with rslora alpha / √r.
   *
   * @defaultValue `32`
   */
  alpha?: number | undefined;
  /**
   * Dropout before the adapter.
   *
   * @defaultValue `0`
   */
  dropout?: number | undefined;
  /**
   * Names of the modules that get one, e.g. query, value; default: every linear one but a pooler.
   *
   * @defaultValue `"all-linear"`
   */
  targetModules?: "all-linear" | readonly string[] | undefined;
  /**
   * Scales by alpha / √r, which higher ranks need (rsLoRA).
   *
   * @defaultValue `false`
   */
  rslora?: boolean | undefined;
  /**
   * Trains the length of each weight's column apart (DoRA).
   *
   * @defaultValue `false`
   */
  dora?: boolean | undefined;
  /**
   * What the frozen weights are held in while training; bfloat16 halves their memory.
   *
   * @defaultValue `"float32"`
   */
  baseDtype?: "float32" | "bfloat16" | undefined;
}

/** LoRA, rsLoRA or DoRA, as `lora({ … })` gives it. */
export interface LoraInput extends LoraOptions {
  /** Which builder made this. */
  kind: "lora";
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
  data: BinaryInput | ScoredInput | MultiLevelInput | MixInput;
  /** The loss and its options, e.g. { name: "infonce", temperature: 0.05 }; several are summed by weight. */
  loss?: LossInput | readonly LossInput[] | undefined;
  /** A plugin's whole retriever, queries and passages in, loss out; default: Quarry's own. */
  retriever?: TrainRetrieverInput | undefined;
  /**
   * Queries in one optimiser step, over all ranks.
   *
   * @defaultValue `32`
   */
  globalBatchSize?: number | undefined;
  /** Queries in one forward pass of a rank; default: the batch shared equally, no accumulation. */
  queriesPerRank?: number | undefined;
  /** Queries, and passages, that a rank encodes at a time (GradCache): memory of so few texts, negatives of the whole batch; default: all at once. */
  miniBatchSize?: number | undefined;
  /**
   * In how many groups of like length the texts of a side are encoded, each padded by itself; auto: as many as save time. With miniBatchSize, its pieces are the groups.
   *
   * @defaultValue `"auto"`
   */
  lengthGroups?: number | "auto" | undefined;
  /**
   * Training processes on each machine; auto is one per GPU, or one on the CPU.
   *
   * @defaultValue `"auto"`
   */
  ranks?: number | "auto" | undefined;
  /**
   * Machines that train along with this one; they reach it at workers.listen.
   *
   * @defaultValue `[]`
   */
  nodes?: readonly (TrainSshNodeInput | TrainSlurmNodeInput | TrainManualNodeInput)[] | undefined;
  /** Training goes on with so many machines where others are lost for good; default: all, this one included. */
  minNodes?: number | undefined;
  /**
   * For all ranks of a start to be there; more where machines wait in a queue.
   *
   * @defaultValue `300000`
   */
  startTimeoutMs?: number | undefined;
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
  /** Measures checkpoints on held-out data while training goes on: curves, the best one, early stopping. */
  evaluate?: TrainEvaluateInput | undefined;
  /** Options of transformers' TrainingArguments, in camelCase. */
  args?: TrainingArgsInput | undefined;
  /** Mines the negatives anew with the model in training, every so many steps, while it goes on. */
  refresh?: RefreshInput | undefined;
}

/** Relevant passages and mined negatives. */
export interface BinaryOptions {
  /** Where relevant passages come from. */
  positives: SourceInput | CombinedInput;
  /** Where explicit (mined) negatives come from; none means in-batch negatives only. */
  negatives?: SourceInput | CombinedInput | undefined;
  /**
   * Explicit negatives in each query's group.
   *
   * @defaultValue `0`
   */
  negativesPerQuery?: number | undefined;
  /**
   * Which positive of several: the next one in each epoch, a random one in each, or always the first.
   *
   * @defaultValue `"rotate"`
   */
  positiveChoice?: "rotate" | "random" | "first" | undefined;
  /**
   * Which negatives of many: the next ones in each epoch, random ones in each, or always the first.
   *
   * @defaultValue `"rotate"`
   */
  negativeChoice?: "rotate" | "random" | "first" | undefined;
  /**
   * What happens to a query with too few passages: its group is smaller, or they come round again, or an error.
   *
   * @defaultValue `"fewer"`
   */
  tooFew?: "fewer" | "cycle" | "error" | undefined;
}

/** Relevant passages and mined negatives, as `binary({ … })` gives them. */
export interface BinaryInput extends BinaryOptions {
  /** Which builder made this. */
  kind: "binary";
}

/** Relevant passages and negatives with teacher scores as labels. */
export interface ScoredOptions {
  /** Where relevant passages come from. */
  positives: SourceInput | CombinedInput;
  /** Where explicit (mined) negatives come from; none means in-batch negatives only. */
  negatives?: SourceInput | CombinedInput | undefined;
  /**
   * Explicit negatives in each query's group.
   *
   * @defaultValue `0`
   */
  negativesPerQuery?: number | undefined;
  /**
   * Which positive of several: the next one in each epoch, a random one in each, or always the first.
   *
   * @defaultValue `"rotate"`
   */
  positiveChoice?: "rotate" | "random" | "first" | undefined;
  /**
   * Which negatives of many: the next ones in each epoch, random ones in each, or always the first.
   *
   * @defaultValue `"rotate"`
   */
  negativeChoice?: "rotate" | "random" | "first" | undefined;
  /**
   * What happens to a query with too few passages: its group is smaller, or they come round again, or an error.
   *
   * @defaultValue `"fewer"`
   */
  tooFew?: "fewer" | "cycle" | "error" | undefined;
}

/** Relevant passages and negatives with teacher scores as labels, as `scored({ … })` gives them. */
export interface ScoredInput extends ScoredOptions {
  /** Which builder made this. */
  kind: "scored";
}

/** Graded judgements. */
export interface MultiLevelOptions {
  /** Sources of graded judgements, in order. */
  sources: readonly SourceInput[];
  /**
   * Which score counts where several sources judge a pair; error refuses such data.
   *
   * @defaultValue `"last"`
   */
  merge?: "last" | "first" | "max" | "error" | undefined;
  /**
   * Passages in each query's group; the first one has the highest label.
   *
   * @defaultValue `8`
   */
  passagesPerQuery?: number | undefined;
  /**
   * Which passages join the best one: random ones in each epoch, the most or the least relevant, or all of them (then the largest query decides the size of the groups, up to passagesPerQuery).
   *
   * @defaultValue `"random"`
   */
  selection?: "random" | "most" | "least" | "all" | undefined;
  /**
   * What happens to a query with too few passages: its group is smaller, or they come round again, or an error.
   *
   * @defaultValue `"fewer"`
   */
  tooFew?: "fewer" | "cycle" | "error" | undefined;
}

/** Graded judgements, as `multiLevel({ … })` gives them. */
export interface MultiLevelInput extends MultiLevelOptions {
  /** Which builder made this. */
  kind: "multiLevel";
}

/** Several sets of training data. */
export interface MixOptions {
  /** What is mixed. */
  parts: readonly MixPartInput[];
  /**
   * Whether a step mixes the parts' queries or takes all of them from one part.
   *
   * @defaultValue `"mixed"`
   */
  batches?: "mixed" | "single" | undefined;
}

/** Several sets of training data, as `mix({ … })` gives them. */
export interface MixInput extends MixOptions {
  /** Which builder made this. */
  kind: "mix";
}

/** One part of a mix. */
export interface MixPartInput {
  /** What losses with sources and messages call this part; default: the names of its sources, else their files. */
  name?: string | undefined;
  /** Training data of one kind; all parts have groups of the same size. */
  data: BinaryInput | ScoredInput | MultiLevelInput;
  /** Share of the batches' queries; default: the number of its queries. */
  weight?: number | undefined;
}

/** Dimensions that a loss is computed on. */
export interface MatryoshkaInput {
  /** Numbers of leading dimensions that are to work on their own, e.g. [384, 128, 64]. */
  dimensions: readonly number[];
  /** Weight of the loss on each of the dimensions; default: 1 for each. */
  weights?: readonly number[] | undefined;
}

/** Negatives mined anew while the model trains: docs/mining.md. */
export interface RefreshInput {
  /** Mines with the model as it is after so many steps, again and again; a checkpoint is written there. */
  everySteps: number;
  /** Steps from there to the first one with the new negatives, where training waits if they are not mined: equal seeds give equal runs. 0 waits at once; "ready" takes them as soon as they are there, so the step depends on timing. Default: everySteps. */
  switchAfterSteps?: number | "ready" | undefined;
  /** With switchAfterSteps "ready": training waits rather than learn from negatives that a model mined more steps ago. */
  maxStaleness?: number | undefined;
  /** Names of the parts of a mix, or of their positives' sources, that get new negatives; default: all with negatives. */
  parts?: readonly string[] | undefined;
  /** How to mine: the options of mine, but for its output. */
  mine?: RefreshMineInput | undefined;
  /** Worker processes that mine while the ranks go on. */
  workers?: SideWorkersInput | undefined;
}

/** How refreshed negatives are mined: as in `mine`, but for its output. */
export interface RefreshMineInput {
  /** Passages to mine from, and queries with their judgements; default: the positives that are trained on. */
  data?: SourceInput | CombinedInput | undefined;
  /**
   * Passages retrieved for each query.
   *
   * @defaultValue `100`
   */
  topK?: number | undefined;
  /**
   * Which queries get negatives: those with judgements, or all of the queries file.
   *
   * @defaultValue `"judged"`
   */
  queries?: "judged" | "all" | undefined;
  /**
   * Whether the experiment's model is the first of the retrievers; without it retrievers alone are asked.
   *
   * @defaultValue `true`
   */
  includeModel?: boolean | undefined;
  /**
   * How the lists of several retrievers become one: they take turns, or the best rank in any list counts, or the sum of 1 / (rrfK + rank).
   *
   * @defaultValue `"roundRobin"`
   */
  fusion?: "roundRobin" | "union" | "reciprocalRank" | undefined;
  /**
   * The constant of reciprocal rank fusion.
   *
   * @defaultValue `60`
   */
  rrfK?: number | undefined;
  /**
   * First rank that counts, from 0: what is ranked higher is skipped as a likely positive without a label.
   *
   * @defaultValue `0`
   */
  rangeMin?: number | undefined;
  /** The rank at which the range ends, itself not in it; default: none, it reaches to the last passage. */
  rangeMax?: number | undefined;
  /**
   * What ranks count: all retrieved passages, those that are not excluded as judged or as copies, or those that every other rule has left.
   *
   * @defaultValue `"retrieved"`
   */
  ranksOver?: "retrieved" | "unjudged" | "kept" | undefined;
  /** Passages with a higher score are no negatives. */
  maxScore?: number | undefined;
  /** Passages with a lower score are no negatives. */
  minScore?: number | undefined;
  /** How far below the positive's score a negative's has to be at least. */
  absoluteMargin?: number | undefined;
  /** Margin as a share of the positive's score: of its magnitude; 0.05 is the 95 % of NV-Retriever. */
  relativeMargin?: number | undefined;
  /**
   * Which of several positives margins are measured from; a number k is the k-th best.
   *
   * @defaultValue `"worst"`
   */
  marginTo?: "worst" | "best" | "mean" | number | undefined;
  /**
   * Which of the passages that are left: the first, random ones, or random ones by softmax of their scores.
   *
   * @defaultValue `"top"`
   */
  sampling?: "top" | "random" | "weighted" | undefined;
  /**
   * Temperature of the softmax of weighted sampling.
   *
   * @defaultValue `0.05`
   */
  temperature?: number | undefined;
  /**
   * Negatives written for each query, best rank first.
   *
   * @defaultValue `10`
   */
  negativesPerQuery?: number | undefined;
  /**
   * Whether all judged passages are excluded, the relevant ones alone, or none at all.
   *
   * @defaultValue `"annotated"`
   */
  exclude?: "annotated" | "positives" | "none" | undefined;
  /**
   * Excludes passages with the very text of the query, of a positive or of a negative before them.
   *
   * @defaultValue `true`
   */
  excludeIdenticalTexts?: boolean | undefined;
  /**
   * Excludes the passage with the query's own id, for collections whose queries are passages.
   *
   * @defaultValue `false`
   */
  excludeSameId?: boolean | undefined;
  /**
   * What stands in for the positive of a query without any: nothing, then margins do not apply to it; or the passage ranked first, which is then no negative.
   *
   * @defaultValue `"none"`
   */
  standIn?: "none" | "top" | undefined;
  /** A cross-encoder scores what the other rules left: false negatives go, its scores are the labels. */
  rescore?: RescoreInput | undefined;
  /** Keeps the candidates for which this gives true; it sees both texts, and the retriever's score. */
  filter?: FunctionStep<Triplet, boolean> | undefined;
  /**
   * Fills queries with too few negatives up with passages drawn at random from the whole pool.
   *
   * @defaultValue `false`
   */
  fillRandom?: boolean | undefined;
  /**
   * Queries with fewer negatives are left out of what is written.
   *
   * @defaultValue `0`
   */
  minNegatives?: number | undefined;
  /**
   * Further retrievers, each { model: biEncoder(…) } or { run: "bm25.run.gz" }.
   *
   * @defaultValue `[]`
   */
  retrievers?: readonly RetrieverInput[] | undefined;
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
  lrSchedulerType?: "linear" | "cosine" | "cosine_with_restarts" | "polynomial" | "constant" | "constant_with_warmup" | "inverse_sqrt" | "cosine_with_min_lr" | "cosine_warmup_with_min_lr" | "warmup_stable_decay" | undefined;
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
  optim?: "adamw_torch" | "adamw_torch_fused" | "adamw_torch_xla" | "adamw_torch_npu_fused" | "adafactor" | "adamw_anyprecision" | "adamw_torch_4bit" | "adamw_torch_8bit" | "ademamix" | "sgd" | "adagrad" | "adamw_bnb_8bit" | "adamw_8bit" | "ademamix_8bit" | "lion_8bit" | "lion_32bit" | "paged_adamw_32bit" | "paged_adamw_8bit" | "paged_ademamix_32bit" | "paged_ademamix_8bit" | "paged_lion_32bit" | "paged_lion_8bit" | "rmsprop" | "rmsprop_bnb" | "rmsprop_bnb_8bit" | "rmsprop_bnb_32bit" | "galore_adamw" | "galore_adamw_8bit" | "galore_adafactor" | "galore_adamw_layerwise" | "galore_adamw_8bit_layerwise" | "galore_adafactor_layerwise" | "lomo" | "adalomo" | "grokadamw" | "schedule_free_radam" | "schedule_free_adamw" | "schedule_free_sgd" | "apollo_adamw" | "apollo_adamw_layerwise" | "stable_adamw" | undefined;
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
  /**
   * Shards weights, gradients and optimiser over the ranks (FSDP2), for models that one device cannot hold.
   *
   * @defaultValue `false`
   */
  fsdp?: boolean | undefined;
  /** Further options of the schedule, e.g. { num_cycles: 2 } for "cosine_with_restarts". */
  lrSchedulerKwargs?: Record<string, unknown> | undefined;
  /** Further options of the optimiser as text, e.g. "relative_step=False". */
  optimArgs?: string | undefined;
  /** Names or patterns of the layers that GaLore and APOLLO optimisers work on. */
  optimTargetModules?: string | readonly string[] | undefined;
  /** Whether matrix products on the GPU may use TF32. */
  tf32?: boolean | undefined;
  /** Options of torch.utils.checkpoint; default: { use_reentrant: false }. */
  gradientCheckpointingKwargs?: Record<string, unknown> | undefined;
  /** Backend of torch.compile, e.g. "inductor" or "aot_eager"; turns compilation on. */
  torchCompileBackend?: string | undefined;
  /** Mode of torch.compile, e.g. "max-autotune"; turns compilation on. */
  torchCompileMode?: string | undefined;
  /** Empties the device's cache of free memory every so many steps. */
  torchEmptyCacheSteps?: number | undefined;
  /** How much transformers writes to the log of the first rank of a machine; default: passive. */
  logLevel?: "detail" | "debug" | "info" | "warning" | "error" | "critical" | "passive" | undefined;
  /** How much transformers writes to the logs of other ranks; default: warning. */
  logLevelReplica?: "detail" | "debug" | "info" | "warning" | "error" | "critical" | "passive" | undefined;
  /** Asks torch for deterministic kernels; slower, for finding differences; default: false. */
  fullDeterminism?: boolean | undefined;
  /** Lets DDP look for parameters without a gradient in each step. */
  ddpFindUnusedParameters?: boolean | undefined;
  /** Megabytes of gradients that DDP sends at once. */
  ddpBucketCapMb?: number | undefined;
  /** Whether DDP sends the buffers of rank 0 to all before each forward; Quarry's default: false. */
  ddpBroadcastBuffers?: boolean | undefined;
  /** Tells DDP that every step uses the same parameters. */
  ddpStaticGraph?: boolean | undefined;
  /** Backend of torch.distributed; default: nccl on GPUs, gloo on the CPU. */
  ddpBackend?: string | undefined;
  /** Seconds after which a collective that does not end fails; default: 1800. */
  ddpTimeout?: number | undefined;
  /** How FSDP2 shards, as accelerate takes it, e.g. { reshard_after_forward: false }. */
  fsdpConfig?: Record<string, unknown> | undefined;
  /** Takes "underflow_overflow", which stops at the first layer whose activations are not finite. */
  debug?: string | undefined;
}

/** Passages, queries and judgements. */
export interface SourceOptions {
  /** What messages and reports call this source. */
  name?: string | undefined;
  /** Passages: one or several files, or a folder in BEIR layout. */
  corpus: string | FileInput | readonly (string | FileInput)[];
  /** Queries: one or several files; default: queries.jsonl beside the corpus. */
  queries?: string | FileInput | readonly (string | FileInput)[] | undefined;
  /** Judgements: one or several files; later ones win. A source without any only enlarges the search pool. */
  qrels?: string | FileInput | readonly (string | FileInput)[] | undefined;
  /** Keeps the judgements of these queries, or without qrels these queries: any file that yields query ids. */
  querySubset?: string | FileInput | readonly (string | FileInput)[] | undefined;
  /** Keeps judgements with this score or a higher one (inclusive). */
  minScore?: number | undefined;
  /** Keeps judgements below this score (exclusive). */
  maxScore?: number | undefined;
  /** Keeps the judgements for which this gives true. */
  filter?: FunctionStep<Triplet, boolean> | undefined;
  /** Gives the judgements of a query to keep: some of them, or true for all and false for none. */
  groupFilter?: FunctionStep<TripletGroup, readonly Triplet[] | boolean> | undefined;
  /** Takes this many passages of each query with the highest scores. */
  groupTopK?: number | undefined;
  /** Takes this many passages of each query with the lowest scores. */
  groupBottomK?: number | undefined;
  /** Takes the first so many passages of each query, in file order. */
  groupFirstK?: number | undefined;
  /** Takes this many passages of each query at random, anew in each epoch. */
  groupRandomK?: number | undefined;
  /** The score that counts instead of the one written, after all selection: a constant, a rule, a map, a step. */
  scoreTransform?: number | "floor" | "ceil" | "round" | ScoreMapInput | FunctionStep<Triplet, number> | undefined;
  /** Texts put in front of this source's texts instead of the model's own. */
  prompts?: PromptsInput | undefined;
  /** How this source's texts are made of title and text. */
  templates?: TemplatesInput | undefined;
  /** What else of the records travels to plugins, and enters the store's keys. */
  extras?: ExtrasInput | undefined;
}

/** Passages, queries and judgements, as `source({ … })` gives them. */
export interface SourceInput extends SourceOptions {
  /** Which builder made this. */
  kind: "source";
}

/** Several sources as one data set. */
export interface CombinedOptions {
  /** Sources in order; one without qrels only adds its passages. */
  sources: readonly SourceInput[];
  /**
   * Which score counts where several sources judge a pair; error refuses such data.
   *
   * @defaultValue `"last"`
   */
  merge?: "last" | "first" | "max" | "error" | undefined;
}

/** Several sources as one data set, as `combined({ … })` gives them. */
export interface CombinedInput extends CombinedOptions {
  /** Which builder made this. */
  kind: "combined";
}

/** A file and how to read it; a path alone stands for all defaults. */
export interface FileInput {
  /** Path, or hf://datasets/<repo>@<revision>/<path>. */
  path: string;
  /** Name of a format or of a registered reader; default: told by the file's name and beginning. */
  format?: string | undefined;
  /** Where id, title, text, prompt, query, passage and score stand: name of a field or column, or its number from 0. */
  fields?: Record<string, string | number> | undefined;
  /** Whether the first line names the columns; default: told by its words. */
  header?: boolean | undefined;
  /** What separates columns; default: tab in .tsv, comma in .csv. */
  delimiter?: string | undefined;
  /**
   * Which passages of training files that hold both count as judgements.
   *
   * @defaultValue `"all"`
   */
  part?: "all" | "positives" | "negatives" | undefined;
  /**
   * Scores of training files: labels are 1 and 0, teacher takes the scores written beside the passages.
   *
   * @defaultValue `"labels"`
   */
  scores?: "labels" | "teacher" | undefined;
}

/** How texts are made of title and text. */
export interface TemplatesInput {
  /** How a query's text is made, with {text} and perhaps {title}. */
  query?: string | undefined;
  /** How a passage's text is made, with {title} and {text}; default: "{title} {text}", no title, no space. */
  passage?: string | undefined;
}

/** What of the records plugins get beside the texts. */
export interface ExtrasInput {
  /** Fields or columns of each query that plugins get. */
  query?: readonly string[] | undefined;
  /** Fields or columns of each passage that plugins get. */
  passage?: readonly string[] | undefined;
  /** Whether plugins get the source's name as well, under "source"; needs a name. */
  sourceName?: boolean | undefined;
}

/** New scores for old ones. */
export interface ScoreMapInput {
  /** New score of each score, e.g. { 1: 0, 2: 1, 3: 1 }. */
  map: Record<string, number>;
  /** Score of what the map does not name; without it such a score is an error. */
  otherwise?: number | undefined;
}

/** Evaluation of checkpoints while the model trains. */
export interface TrainEvaluateInput {
  /** Passages to search, queries and judgements; several data sets as suite({ … }). */
  data: SourceInput | CombinedInput | SuiteInput;
  /**
   * Measures as ir_measures writes them: nDCG@10, RR@10, R@100, AP@1000, P(rel=2)@5, Success@1.
   *
   * @defaultValue `["nDCG@10","RR@10","R@100"]`
   */
  measures?: readonly string[] | undefined;
  /**
   * Lowest grade that counts as relevant, where a measure says nothing of its own (trec_eval -l).
   *
   * @defaultValue `1`
   */
  relevanceLevel?: number | undefined;
  /**
   * Passages kept for each query.
   *
   * @defaultValue `100`
   */
  topK?: number | undefined;
  /** Leaves the passage with the query's own id out of the ranking, as BEIR does; for ArguAna, say. */
  excludeSameId?: boolean | undefined;
  /** A quick look: searches a part of the corpus and estimates what all of it would give, with an interval. */
  subCorpus?: SubCorpusInput | undefined;
  /** A quick look: takes so many judged queries at random and states an interval of each measure. */
  sampleQueries?: number | undefined;
  /**
   * Who evaluates: worker processes while training goes on, or the ranks themselves, which pause for it.
   *
   * @defaultValue `"workers"`
   */
  mode?: "workers" | "ranks" | undefined;
  /** Evaluates, and saves, every so many steps, and after the last one; default: train.args.saveSteps. */
  evalSteps?: number | undefined;
  /** The measure that makes a checkpoint the best; of one data set of a suite as set/measure; default: the first. */
  metricForBestModel?: string | undefined;
  /**
   * False where the best value of that measure is the lowest.
   *
   * @defaultValue `true`
   */
  greaterIsBetter?: boolean | undefined;
  /**
   * Later steps work with the best checkpoint in place of the last one.
   *
   * @defaultValue `false`
   */
  loadBestModelAtEnd?: boolean | undefined;
  /**
   * Checkpoints with the best values that stay, beside the last train.args.saveTotalLimit.
   *
   * @defaultValue `1`
   */
  saveBestLimit?: number | undefined;
  /** Ends training after so many evaluations in a row without an improvement; default: never. */
  earlyStoppingPatience?: number | undefined;
  /**
   * What an improvement is for the patience: more than this above the last one.
   *
   * @defaultValue `0`
   */
  earlyStoppingThreshold?: number | undefined;
  /**
   * Checkpoints that wait for their evaluation by workers, at most; then the oldest is skipped and told.
   *
   * @defaultValue `4`
   */
  maxWaiting?: number | undefined;
  /** The worker processes of mode "workers". */
  workers?: SideWorkersInput | undefined;
}

/** Workers beside the ranks of a training. */
export interface SideWorkersInput {
  /**
   * Worker processes beside the ranks; auto is one per GPU that the ranks leave free, else one.
   *
   * @defaultValue `"auto"`
   */
  count?: number | "auto" | undefined;
  /**
   * auto, cpu or cuda:N; auto takes the last GPUs, which the ranks must leave free, or the CPU without any; mining takes the CPU also where the ranks hold all of them.
   *
   * @defaultValue `"auto"`
   */
  device?: string | undefined;
  /** CPU threads of each; default: the cores that the ranks leave, at least one. */
  threads?: number | undefined;
}

/** What to evaluate on. */
export interface EvaluateInput {
  /** Passages to search, queries and judgements; several data sets as suite({ … }). */
  data: SourceInput | CombinedInput | SuiteInput;
  /**
   * Measures as ir_measures writes them: nDCG@10, RR@10, R@100, AP@1000, P(rel=2)@5, Success@1.
   *
   * @defaultValue `["nDCG@10","RR@10","R@100"]`
   */
  measures?: readonly string[] | undefined;
  /**
   * Lowest grade that counts as relevant, where a measure says nothing of its own (trec_eval -l).
   *
   * @defaultValue `1`
   */
  relevanceLevel?: number | undefined;
  /**
   * Passages kept for each query.
   *
   * @defaultValue `100`
   */
  topK?: number | undefined;
  /** Leaves the passage with the query's own id out of the ranking, as BEIR does; for ArguAna, say. */
  excludeSameId?: boolean | undefined;
  /** A quick look: searches a part of the corpus and estimates what all of it would give, with an interval. */
  subCorpus?: SubCorpusInput | undefined;
  /** A quick look: takes so many judged queries at random and states an interval of each measure. */
  sampleQueries?: number | undefined;
  /** Measures this TREC run, or several files of one, in the place of a search: somebody else's ranking, for rerank to rank again. The model is not asked. */
  run?: string | FileInput | readonly (string | FileInput)[] | undefined;
}

/** Scores query and passage together. */
export interface CrossEncoderOptions {
  /** Commit, tag or branch on the hub. */
  revision?: string | undefined;
  /**
   * Runs the checkpoint's own Python code; needs a revision that is a commit.
   *
   * @defaultValue `false`
   */
  trustRemoteCode?: boolean | undefined;
  /** Longest pair in tokens, query and passage together; default: the checkpoint's own. */
  maxLength?: number | undefined;
  /** What makes a logit a score; default: what the checkpoint says, else sigmoid of one label and softmax of several. */
  activation?: "identity" | "sigmoid" | "softmax" | undefined;
  /** Which label's score counts, from 0; default: the last one. */
  label?: number | undefined;
  /** What a pair becomes, e.g. "Query: {query}\nPassage: {passage}\nRelevant:"; default: the checkpoint's chat template, or both texts as its tokenizer joins them. */
  template?: string | undefined;
  /** An instruction: the system's message of a chat template, else in front of each query; default: the checkpoint's own. */
  prompt?: string | undefined;
  /** Of a language model: the token whose logit says that a pair fits, e.g. "yes"; default: the checkpoint's own. */
  trueToken?: string | undefined;
  /** The token that says it does not, e.g. "no": the score is the difference of both logits; default: none with a trueToken, else the checkpoint's own. */
  falseToken?: string | undefined;
  /**
   * Number format of scoring; auto is bfloat16 on a GPU that has it, else float32.
   *
   * @defaultValue `"auto"`
   */
  dtype?: "auto" | "float32" | "bfloat16" | "float16" | undefined;
  /** Pairs in one forward pass; default: workers.batchSize. */
  batchSize?: number | undefined;
}

/** Scores query and passage together, as `crossEncoder(checkpoint, options)` gives it. */
export interface CrossEncoderInput extends CrossEncoderOptions {
  /** Which builder made this. */
  kind: "crossEncoder";
  /** A Hugging Face model id or a folder: sequence classification, or a language model that ranks, causal or encoder-decoder. */
  checkpoint: string;
}

/** A cross-encoder that ranks again. */
export interface RerankOptions {
  /** Commit, tag or branch on the hub. */
  revision?: string | undefined;
  /**
   * Runs the checkpoint's own Python code; needs a revision that is a commit.
   *
   * @defaultValue `false`
   */
  trustRemoteCode?: boolean | undefined;
  /** Longest pair in tokens, query and passage together; default: the checkpoint's own. */
  maxLength?: number | undefined;
  /** What makes a logit a score; default: what the checkpoint says, else sigmoid of one label and softmax of several. */
  activation?: "identity" | "sigmoid" | "softmax" | undefined;
  /** Which label's score counts, from 0; default: the last one. */
  label?: number | undefined;
  /** What a pair becomes, e.g. "Query: {query}\nPassage: {passage}\nRelevant:"; default: the checkpoint's chat template, or both texts as its tokenizer joins them. */
  template?: string | undefined;
  /** An instruction: the system's message of a chat template, else in front of each query; default: the checkpoint's own. */
  prompt?: string | undefined;
  /** Of a language model: the token whose logit says that a pair fits, e.g. "yes"; default: the checkpoint's own. */
  trueToken?: string | undefined;
  /** The token that says it does not, e.g. "no": the score is the difference of both logits; default: none with a trueToken, else the checkpoint's own. */
  falseToken?: string | undefined;
  /**
   * Number format of scoring; auto is bfloat16 on a GPU that has it, else float32.
   *
   * @defaultValue `"auto"`
   */
  dtype?: "auto" | "float32" | "bfloat16" | "float16" | undefined;
  /** Pairs in one forward pass; default: workers.batchSize. */
  batchSize?: number | undefined;
  /** Highest-ranked passages of each query that are scored again; the others keep their order behind them. Default: the 100 best, or all of evaluate.topK when that is less. */
  topK?: number | undefined;
}

/** A cross-encoder that ranks again, as `crossEncoder(checkpoint, options)` gives it. */
export interface RerankInput extends RerankOptions {
  /** Which builder made this. */
  kind: "crossEncoder";
  /** A Hugging Face model id or a folder: sequence classification, or a language model that ranks, causal or encoder-decoder. */
  checkpoint: string;
}

/** Several data sets with one table, as `suite({ name: source({ … }), … })` gives them. */
export interface SuiteInput {
  /** Which builder made this. */
  kind: "suite";
  /** Data sets that are evaluated one after the other. */
  sets: readonly SuiteSetInput[];
}

/** One data set of a suite. */
export interface SuiteSetInput {
  /** What tables and folders call this data set. */
  name: string;
  /** Passages to search, queries and judgements. */
  data: SourceInput | CombinedInput;
  /** Measures of this data set; default: evaluate.measures. */
  measures?: readonly string[] | undefined;
  /** Measures this TREC run of the data set in the place of a search, as evaluate.run does without a suite. */
  run?: string | FileInput | readonly (string | FileInput)[] | undefined;
}

/** A part of the corpus, for a quick look. */
export interface SubCorpusInput {
  /** Passages that are searched: all judged ones, and a random sample of the others. */
  passages: number;
  /** Seed of the sample; default: the experiment's. */
  seed?: number | undefined;
}

/** Which hard negatives to mine. */
export interface MineInput {
  /** Passages to mine from, and queries with their judgements. */
  data: SourceInput | CombinedInput;
  /**
   * Passages retrieved for each query.
   *
   * @defaultValue `100`
   */
  topK?: number | undefined;
  /**
   * Which queries get negatives: those with judgements, or all of the queries file.
   *
   * @defaultValue `"judged"`
   */
  queries?: "judged" | "all" | undefined;
  /**
   * Whether the experiment's model is the first of the retrievers; without it retrievers alone are asked.
   *
   * @defaultValue `true`
   */
  includeModel?: boolean | undefined;
  /**
   * How the lists of several retrievers become one: they take turns, or the best rank in any list counts, or the sum of 1 / (rrfK + rank).
   *
   * @defaultValue `"roundRobin"`
   */
  fusion?: "roundRobin" | "union" | "reciprocalRank" | undefined;
  /**
   * The constant of reciprocal rank fusion.
   *
   * @defaultValue `60`
   */
  rrfK?: number | undefined;
  /**
   * First rank that counts, from 0: what is ranked higher is skipped as a likely positive without a label.
   *
   * @defaultValue `0`
   */
  rangeMin?: number | undefined;
  /** The rank at which the range ends, itself not in it; default: none, it reaches to the last passage. */
  rangeMax?: number | undefined;
  /**
   * What ranks count: all retrieved passages, those that are not excluded as judged or as copies, or those that every other rule has left.
   *
   * @defaultValue `"retrieved"`
   */
  ranksOver?: "retrieved" | "unjudged" | "kept" | undefined;
  /** Passages with a higher score are no negatives. */
  maxScore?: number | undefined;
  /** Passages with a lower score are no negatives. */
  minScore?: number | undefined;
  /** How far below the positive's score a negative's has to be at least. */
  absoluteMargin?: number | undefined;
  /** Margin as a share of the positive's score: of its magnitude; 0.05 is the 95 % of NV-Retriever. */
  relativeMargin?: number | undefined;
  /**
   * Which of several positives margins are measured from; a number k is the k-th best.
   *
   * @defaultValue `"worst"`
   */
  marginTo?: "worst" | "best" | "mean" | number | undefined;
  /**
   * Which of the passages that are left: the first, random ones, or random ones by softmax of their scores.
   *
   * @defaultValue `"top"`
   */
  sampling?: "top" | "random" | "weighted" | undefined;
  /**
   * Temperature of the softmax of weighted sampling.
   *
   * @defaultValue `0.05`
   */
  temperature?: number | undefined;
  /**
   * Negatives written for each query, best rank first.
   *
   * @defaultValue `10`
   */
  negativesPerQuery?: number | undefined;
  /**
   * Whether all judged passages are excluded, the relevant ones alone, or none at all.
   *
   * @defaultValue `"annotated"`
   */
  exclude?: "annotated" | "positives" | "none" | undefined;
  /**
   * Excludes passages with the very text of the query, of a positive or of a negative before them.
   *
   * @defaultValue `true`
   */
  excludeIdenticalTexts?: boolean | undefined;
  /**
   * Excludes the passage with the query's own id, for collections whose queries are passages.
   *
   * @defaultValue `false`
   */
  excludeSameId?: boolean | undefined;
  /**
   * What stands in for the positive of a query without any: nothing, then margins do not apply to it; or the passage ranked first, which is then no negative.
   *
   * @defaultValue `"none"`
   */
  standIn?: "none" | "top" | undefined;
  /** A cross-encoder scores what the other rules left: false negatives go, its scores are the labels. */
  rescore?: RescoreInput | undefined;
  /** Keeps the candidates for which this gives true; it sees both texts, and the retriever's score. */
  filter?: FunctionStep<Triplet, boolean> | undefined;
  /**
   * Fills queries with too few negatives up with passages drawn at random from the whole pool.
   *
   * @defaultValue `false`
   */
  fillRandom?: boolean | undefined;
  /**
   * Queries with fewer negatives are left out of what is written.
   *
   * @defaultValue `0`
   */
  minNegatives?: number | undefined;
  /**
   * How negatives are written, one format or several: by ids (qrels, triples, grouped-jsonl, run), or with texts as training files of Tevatron, FlagEmbedding and sentence-transformers (triplet, n-tuple, labeled-pair, labeled-list).
   *
   * @defaultValue `"qrels"`
   */
  output?: "qrels" | "triples" | "grouped-jsonl" | "run" | "tevatron" | "flagembedding" | "triplet" | "n-tuple" | "labeled-pair" | "labeled-list" | readonly ("qrels" | "triples" | "grouped-jsonl" | "run" | "tevatron" | "flagembedding" | "triplet" | "n-tuple" | "labeled-pair" | "labeled-list")[] | undefined;
  /**
   * Writes each training file with texts as Parquet, too.
   *
   * @defaultValue `false`
   */
  parquet?: boolean | undefined;
  /**
   * Writes each passage's score beside it, as a teacher's label; positives without one are left out.
   *
   * @defaultValue `false`
   */
  scores?: boolean | undefined;
  /**
   * Further retrievers, each { model: biEncoder(…) } or { run: "bm25.run.gz" }.
   *
   * @defaultValue `[]`
   */
  retrievers?: readonly RetrieverInput[] | undefined;
}

/** A cross-encoder that looks at the candidates. */
export interface RescoreInput {
  /** A cross-encoder, as crossEncoder(…) gives it. */
  model: CrossEncoderInput;
  /** Candidates of each query that are scored, by rank; the others are no negatives. Default: all. */
  topK?: number | undefined;
  /** Passages that it scores higher are no negatives: likely positives without a label. */
  maxScore?: number | undefined;
  /** Passages that it scores lower are no negatives. */
  minScore?: number | undefined;
  /** How far below its score of the positive a negative's has to be at least. */
  absoluteMargin?: number | undefined;
  /** The same as a share of its score of the positive (of its magnitude). */
  relativeMargin?: number | undefined;
  /**
   * Whose order sampling follows: the retriever's, whose errors training mends, or the cross-encoder's.
   *
   * @defaultValue `"retriever"`
   */
  orderBy?: "retriever" | "crossEncoder" | undefined;
}

/** A further model, or a run file. */
export interface RetrieverInput {
  /** A bi-encoder, as biEncoder(…) gives it. */
  model?: ModelInput | undefined;
  /** What reports and files call it; default: model-N or run-N with its place in the list, from 1. */
  name?: string | undefined;
  /** A TREC run, or several files of one: somebody else's ranking of these queries. */
  run?: string | FileInput | readonly (string | FileInput)[] | undefined;
  /** Passages taken for each query; default: mine.topK. */
  topK?: number | undefined;
  /** Passages with a higher score are no negatives. */
  maxScore?: number | undefined;
  /** Passages with a lower score are no negatives. */
  minScore?: number | undefined;
  /** How far below the positive's score a negative's has to be at least. */
  absoluteMargin?: number | undefined;
  /** Margin as a share of the positive's score: of its magnitude; 0.05 is the 95 % of NV-Retriever. */
  relativeMargin?: number | undefined;
}

/** The store of vectors, which all steps share. */
export interface EmbeddingsInput {
  /**
   * Keeps vectors in the cache, so that no text is encoded twice; false encodes and searches in one go.
   *
   * @defaultValue `true`
   */
  store?: boolean | undefined;
  /**
   * Number format of stored passages; they are searched as kept, queries stay float32.
   *
   * @defaultValue `"float32"`
   */
  dtype?: "float32" | "float16" | "bfloat16" | "int8" | undefined;
  /**
   * Passages without a finite vector, or that end whatever worker tries them: found by halving their units; warn and drop leave them out.
   *
   * @defaultValue `"error"`
   */
  unencodable?: "error" | "warn" | "drop" | undefined;
}

/** What to encode. */
export interface EncodeInput {
  /** What to encode. */
  data: SourceInput | CombinedInput;
  /**
   * Whether texts are encoded as passages or queries.
   *
   * @defaultValue `"passage"`
   */
  side?: "passage" | "query" | undefined;
  /**
   * What the vectors are written as: a NumPy matrix, Parquet, a FAISS index; none only fills the store.
   *
   * @defaultValue `"npy"`
   */
  export?: "npy" | "parquet" | "faiss" | "none" | undefined;
  /** Which FAISS index export "faiss" writes; default: flat. */
  index?: IndexInput | undefined;
}

/** A FAISS index that is built; needs faiss-cpu. */
export interface IndexInput {
  /**
   * flat compares with every passage; ivf looks into some of many lists; hnsw follows links to neighbours.
   *
   * @defaultValue `"flat"`
   */
  kind?: "flat" | "ivf" | "hnsw" | undefined;
  /** ivf: lists that vectors are shared among; default: 4 √N. */
  nlist?: number | undefined;
  /** ivf: lists that a query looks into; default: a twentieth of them, at least 8. All of them: exact. */
  nprobe?: number | undefined;
  /** hnsw: links of a vector; default: 32. */
  m?: number | undefined;
  /** hnsw: candidates kept while building, and while searching for fewer; default: 200. */
  ef?: number | undefined;
}

/** A FAISS index in a folder. */
export interface SavedIndexInput {
  /** A folder that `encode.export: "faiss"` wrote. */
  folder: string;
  /** ivf: lists that a query looks into; default: as the index was built with. */
  nprobe?: number | undefined;
  /** hnsw: candidates kept while searching; default: as the index was built with. */
  ef?: number | undefined;
}

/** What to search, and for what. */
export interface SearchInput {
  /** Passages to search, and queries unless texts are given. */
  data: SourceInput | CombinedInput;
  /**
   * Passages found for each query.
   *
   * @defaultValue `10`
   */
  topK?: number | undefined;
  /**
   * How to search: exact is the workers' own search; { kind: "ivf" } builds a FAISS index; { folder } takes a saved one, --index for short.
   *
   * @defaultValue `"exact"`
   */
  index?: "exact" | IndexInput | SavedIndexInput | undefined;
  /** Questions to search for in place of the queries of the data; --text asks one from the command line. */
  texts?: readonly string[] | undefined;
}

/** What happens to each kind of fault in the data: `error` stops, `warn` tells and goes on, `drop` goes on. */
export interface ValidationInput {
  /**
   * Lines that cannot be read: bad encoding, wrong types, missing fields. warn and drop leave them out.
   *
   * @defaultValue `"error"`
   */
  badLines?: "error" | "warn" | "drop" | undefined;
  /**
   * Ids that occur again; warn and drop keep the first record.
   *
   * @defaultValue `"error"`
   */
  duplicateIds?: "error" | "warn" | "drop" | undefined;
  /**
   * Judgements that name ids nobody knows; warn and drop leave the judgements out.
   *
   * @defaultValue `"error"`
   */
  danglingIds?: "error" | "warn" | "drop" | undefined;
  /**
   * Texts without content; warn keeps them, drop leaves them out of judgements and of the search pool.
   *
   * @defaultValue `"warn"`
   */
  emptyTexts?: "error" | "warn" | "drop" | undefined;
  /**
   * Passages both positive and negative for a query; warn and drop leave them out of the negatives.
   *
   * @defaultValue `"warn"`
   */
  contradictions?: "error" | "warn" | "drop" | undefined;
  /**
   * Negatives with the very text of a positive; warn keeps them, drop leaves them out of the negatives.
   *
   * @defaultValue `"warn"`
   */
  duplicateTexts?: "error" | "warn" | "drop" | undefined;
  /**
   * Judged queries that can form no group; warn and drop leave them out.
   *
   * @defaultValue `"warn"`
   */
  withoutPositives?: "error" | "warn" | "drop" | undefined;
}

/** The worker processes for inference. */
export interface WorkersInput {
  /**
   * Worker processes on this machine; auto is one per GPU, else one; 0 leaves the work to those that join.
   *
   * @defaultValue `"auto"`
   */
  count?: number | "auto" | undefined;
  /** Where workers on other machines can join, e.g. tcp://10.0.0.5:4555; port 0 takes any. Default: nowhere. */
  listen?: string | undefined;
  /**
   * Workers on other machines, started and ended with the run; needs workers.listen.
   *
   * @defaultValue `[]`
   */
  nodes?: readonly (SshNodeInput | SlurmNodeInput | TorchrunNodeInput | ManualNodeInput)[] | undefined;
  /** CPU threads of each worker; default: the cores shared equally. */
  threads?: number | undefined;
  /**
   * auto, cpu, cuda or cuda:N; auto gives each worker a GPU of its own where there are some. Training takes cpu and cuda:N as well: one rank on that GPU.
   *
   * @defaultValue `"auto"`
   */
  device?: string | undefined;
  /** Texts in one forward pass; default: 16, or 128 where workers have a GPU of this machine. auto measures which size is fastest once and keeps it for the run folder's life. */
  batchSize?: number | "auto" | undefined;
  /** Texts in one unit of work: what is sorted by length together and done again after a death; default: 256, or batchSize where that is more. A forward pass takes no more. */
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

/** A machine that ssh reaches. */
export interface TrainSshNodeInput {
  /** A machine that ssh reaches without a question. */
  kind: "ssh";
  /** Machine, as ssh takes it: name, user@name, or an entry of its configuration. */
  host: string;
  /**
   * Further arguments of ssh, e.g. ["-p", "2222"].
   *
   * @defaultValue `[]`
   */
  options?: readonly string[] | undefined;
  /** Interpreter on the node; default: the path of this machine's. */
  python?: string | undefined;
  /** Folder on the node that holds quarry_runtime (py_runtime of Quarry); default: this machine's path. */
  directory?: string | undefined;
}

/** Machines that Slurm gives. */
export interface TrainSlurmNodeInput {
  /** Machines that Slurm gives. */
  kind: "slurm";
  /**
   * srun starts in an allocation or waits for one; sbatch queues a job, for which training waits.
   *
   * @defaultValue `"srun"`
   */
  via?: "srun" | "sbatch" | undefined;
  /**
   * How many machines.
   *
   * @defaultValue `1`
   */
  nodes?: number | undefined;
  /**
   * Further arguments of srun or sbatch, e.g. ["--gpus-per-node=4"].
   *
   * @defaultValue `[]`
   */
  args?: readonly string[] | undefined;
  /** Interpreter on the node; default: the path of this machine's. */
  python?: string | undefined;
  /** Folder on the node that holds quarry_runtime (py_runtime of Quarry); default: this machine's path. */
  directory?: string | undefined;
}

/** A machine started by hand. */
export interface TrainManualNodeInput {
  /** A machine on which somebody pastes the command that training tells. */
  kind: "manual";
}

/** Workers on a machine that ssh reaches. */
export interface SshNodeInput {
  /** Workers on a machine that ssh reaches without a question. */
  kind: "ssh";
  /** Machine, as ssh takes it: name, user@name, or an entry of its configuration. */
  host: string;
  /** Worker processes; default: one per GPU, else one. */
  workers?: number | undefined;
  /**
   * Further arguments of ssh, e.g. ["-p", "2222"].
   *
   * @defaultValue `[]`
   */
  options?: readonly string[] | undefined;
  /** Interpreter on the node; default: the path of this machine's. */
  python?: string | undefined;
  /** Folder on the node that holds quarry_runtime (py_runtime of Quarry); default: this machine's path. */
  directory?: string | undefined;
  /**
   * What the node's workers compute on.
   *
   * @defaultValue `"auto"`
   */
  device?: "auto" | "cpu" | "cuda" | undefined;
  /** CPU threads of each worker; default: the node's cores shared equally. */
  threads?: number | undefined;
  /** host:port by which the node reaches this machine, where it is not that of workers.listen. */
  address?: string | undefined;
}

/** Workers on machines that Slurm gives. */
export interface SlurmNodeInput {
  /** Workers on machines that Slurm gives. */
  kind: "slurm";
  /**
   * srun starts in an allocation or waits for one; sbatch queues a job that joins when its turn comes.
   *
   * @defaultValue `"srun"`
   */
  via?: "srun" | "sbatch" | undefined;
  /**
   * How many machines.
   *
   * @defaultValue `1`
   */
  nodes?: number | undefined;
  /** Tasks on each machine, a worker each; default: one task with a worker per GPU, else one. */
  workersPerNode?: number | undefined;
  /**
   * Further arguments of srun or sbatch, e.g. ["--gpus-per-node=4"].
   *
   * @defaultValue `[]`
   */
  args?: readonly string[] | undefined;
  /** Interpreter on the node; default: the path of this machine's. */
  python?: string | undefined;
  /** Folder on the node that holds quarry_runtime (py_runtime of Quarry); default: this machine's path. */
  directory?: string | undefined;
  /**
   * What the node's workers compute on.
   *
   * @defaultValue `"auto"`
   */
  device?: "auto" | "cpu" | "cuda" | undefined;
  /** CPU threads of each worker; default: the node's cores shared equally. */
  threads?: number | undefined;
  /** host:port by which the node reaches this machine, where it is not that of workers.listen. */
  address?: string | undefined;
}

/** Workers as ranks of torchrun. */
export interface TorchrunNodeInput {
  /** Workers as the ranks of torchrun, which is started on this machine. */
  kind: "torchrun";
  /**
   * Ranks of each node, a worker each.
   *
   * @defaultValue `1`
   */
  workersPerNode?: number | undefined;
  /**
   * Further arguments of torchrun, e.g. ["--nnodes=2", "--rdzv-endpoint=10.0.0.5:29500"].
   *
   * @defaultValue `[]`
   */
  args?: readonly string[] | undefined;
  /** Interpreter on the node; default: the path of this machine's. */
  python?: string | undefined;
  /** Folder on the node that holds quarry_runtime (py_runtime of Quarry); default: this machine's path. */
  directory?: string | undefined;
  /**
   * What the node's workers compute on.
   *
   * @defaultValue `"auto"`
   */
  device?: "auto" | "cpu" | "cuda" | undefined;
  /** CPU threads of each worker; default: the node's cores shared equally. */
  threads?: number | undefined;
  /** host:port by which the node reaches this machine, where it is not that of workers.listen. */
  address?: string | undefined;
}

/** Workers that somebody starts by hand. */
export interface ManualNodeInput {
  /** Tells how to get a command that is pasted on any machine. */
  kind: "manual";
}
