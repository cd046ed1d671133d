/** Every name that people bring along from other tools, and what Quarry calls it: one table. */

/** Other names of options, by the path of the group they stand in. */
export const OPTION_ALIASES = {
  model: {
    modelNameOrPath: "checkpoint",
    modelName: "checkpoint",
    poolingMode: "pooling",
    normalizeEmbeddings: "normalize",
    similarityFnName: "similarity",
    torchDtype: "dtype",
    appendEosToken: "appendEos",
    peft: "adapter",
    lora: "adapter",
  },
  // Any adapter, wherever its model stands.
  lora: {
    loraR: "r",
    rank: "r",
    loraAlpha: "alpha",
    loraDropout: "dropout",
    loraTargetModules: "targetModules",
    useRslora: "rslora",
    useDora: "dora",
  },
  "model.prompts": { document: "passage", doc: "passage", corpus: "passage", queries: "query", passages: "passage" },
  // Any source, wherever it stands.
  source: {
    qrelPath: "qrels",
    qrelsPath: "qrels",
    queryPath: "queries",
    corpusPath: "corpus",
    querySubsetPath: "querySubset",
    filterFn: "filter",
    groupFilterFn: "groupFilter",
    newLabel: "scoreTransform",
  },
  // Any cross-encoder, wherever it stands.
  crossEncoder: {
    modelNameOrPath: "checkpoint",
    modelName: "checkpoint",
    maxSeqLength: "maxLength",
    activationFn: "activation",
    activationFunction: "activation",
    defaultActivationFunction: "activation",
    torchDtype: "dtype",
    perDeviceEvalBatchSize: "batchSize",
    topN: "topK",
    depth: "topK",
  },
  mine: {
    skipTop: "rangeMin",
    numNegatives: "negativesPerQuery",
    negativeNumber: "negativesPerQuery",
    nSample: "negativesPerQuery",
    samplingStrategy: "sampling",
    depth: "topK",
    margin: "absoluteMargin",
    minHn: "minNegatives",
    outputFormat: "output",
    outputScores: "scores",
  },
  "train.evaluate": {
    everySteps: "evalSteps",
    evaluationSteps: "evalSteps",
    metric: "metricForBestModel",
    mainScore: "metricForBestModel",
    keepBest: "loadBestModelAtEnd",
    loadBest: "loadBestModelAtEnd",
    saveBestModel: "loadBestModelAtEnd",
    patience: "earlyStoppingPatience",
    minDelta: "earlyStoppingThreshold",
    threshold: "earlyStoppingThreshold",
  },
  "train.args": {
    lr: "learningRate",
    epochs: "numTrainEpochs",
    maxGradientNorm: "maxGradNorm",
    // Below 1 warmupSteps is a share of all steps, as warmup_ratio was.
    warmupRatio: "warmupSteps",
    activationCheckpointing: "gradientCheckpointing",
    activationCheckpointingKwargs: "gradientCheckpointingKwargs",
  },
} as const satisfies Readonly<Record<string, Readonly<Record<string, string>>>>;

/** What of a value an alias does not take, though its option would: a share, where it stands for a number as well. */
export function refusedByAlias(path: string, value: unknown): string | null {
  if (camelCase(path) !== "train.args.warmupRatio" || !(Number(value) >= 1)) return null;
  return `is a share of all steps, below 1, saw ${String(value)}; give warmupSteps for a number of steps`;
}

/** Other spellings of an option's values, by the option's path. */
export const VALUE_ALIASES = {
  "model.pooling": {
    lasttoken: "last",
    last_token: "last",
    eos: "last",
    cls_token: "cls",
    first: "cls",
    weighted_mean: "weightedmean",
    weightedMean: "weightedmean",
    max_tokens: "max",
    mean_sqrt_len_tokens: "mean_sqrt_len",
    mean_tokens: "mean",
    avg: "mean",
    average: "mean",
  },
  "model.similarity": { cos: "cosine", cos_sim: "cosine", dot_score: "dot", dot_product: "dot" },
  "crossEncoder.activation": {
    Identity: "identity",
    none: "identity",
    logit: "identity",
    Sigmoid: "sigmoid",
    Softmax: "softmax",
    "torch.nn.modules.linear.Identity": "identity",
    "torch.nn.modules.activation.Sigmoid": "sigmoid",
    "torch.nn.modules.activation.Softmax": "softmax",
  },
  "crossEncoder.dtype": { fp32: "float32", bf16: "bfloat16", fp16: "float16", half: "float16" },
  "model.dtype": { fp32: "float32", bf16: "bfloat16", fp16: "float16", half: "float16" },
} as const satisfies Readonly<Record<string, Readonly<Record<string, string>>>>;

/** What a loss's name elsewhere means here. */
interface LossAlias {
  readonly name: string;
  /** Its default of `scale`, a factor on the similarities and 1 / temperature; null: only if it is given. */
  readonly defaultScale?: number | null;
  /** Options that it has by default, or always. */
  readonly defaults?: Readonly<Record<string, unknown>>;
  readonly rename?: Readonly<Record<string, string>>;
}

/** Losses under their names elsewhere; those of sentence-transformers have its defaults. */
export const LOSS_ALIASES: Readonly<Record<string, LossAlias>> = {
  MultipleNegativesRankingLoss: { name: "infonce", defaultScale: 20 },
  CachedMultipleNegativesRankingLoss: { name: "infonce", defaultScale: 20, defaults: { miniBatchSize: 32 } },
  MultipleNegativesSymmetricRankingLoss: { name: "infonce", defaultScale: 20, defaults: { symmetric: true } },
  CachedMultipleNegativesSymmetricRankingLoss: {
    name: "infonce",
    defaultScale: 20,
    defaults: { symmetric: true, miniBatchSize: 32 },
  },
  InfoNCE: { name: "infonce", defaultScale: null },
  InfoNCELoss: { name: "infonce", defaultScale: null },
  MarginMSELoss: { name: "margin_mse" },
  TripletLoss: {
    name: "triplet",
    defaults: { distance: "euclidean", margin: 5 },
    rename: { distanceMetric: "distance", tripletMargin: "margin" },
  },
  CoSENTLoss: { name: "cosent", defaultScale: 20 },
  DistillKLDivLoss: { name: "kl" },
};

/** Options that other trainers have and Quarry expresses in another place, in camelCase. */
export const MOVED_OPTIONS: Readonly<Record<string, string>> = {
  perDeviceTrainBatchSize: "train.globalBatchSize",
  trainBatchSize: "train.globalBatchSize",
  gradientAccumulationSteps: "train.queriesPerRank",
  batchSize: "workers.batchSize",
  perDeviceEvalBatchSize: "workers.batchSize",
  crossEncoder: "mine.rescore.model",
  includePositives: "mine.exclude",
  rangeForSampling: "mine.rangeMin",
  outputDir: "runDir",
  maxSeqLength: "model.passageMaxLength",
  maxLength: "model.passageMaxLength",
  queryMaxLen: "model.queryMaxLength",
  passageMaxLen: "model.passageMaxLength",
  temperature: "train.loss.temperature",
  evalStrategy: "train.evaluate.evalSteps",
  evaluationStrategy: "train.evaluate.evalSteps",
  doEval: "train.evaluate",
  evalDataset: "train.evaluate.data",
  trainGroupSize: "train.data.negativesPerQuery",
};

/** `learning_rate` and `learning-rate` become `learningRate`. */
export function camelCase(name: string): string {
  return name.replace(/[-_]+([a-zA-Z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
