/** The groups of options in the order of the documentation, each with its name as an interface. */
import type { z } from "zod";
import * as adapters from "../../src/experiment/adapter-schema.js";
import * as crossEncoders from "../../src/experiment/cross-encoder-schema.js";
import * as data from "../../src/experiment/data-schema.js";
import * as evaluation from "../../src/experiment/evaluate-schema.js";
import * as indexes from "../../src/experiment/index-schema.js";
import * as nodes from "../../src/experiment/nodes-schema.js";
import * as schemas from "../../src/experiment/schema.js";
import * as sides from "../../src/experiment/side-schema.js";

/** A group of options that belong together. */
export interface Group {
  /** Interface without "Input". */
  readonly name: string;
  readonly schema: z.ZodObject;
  /** Heading in the documentation: where the group stands in an experiment. */
  readonly title: string;
  readonly sentence: string;
  /** For what a builder makes: the interface of its options, and the fields that the builder itself sets. */
  readonly builder: { readonly options: string; readonly fixed: readonly string[] } | null;
}

function group(
  name: string,
  schema: z.ZodObject,
  title: string,
  sentence: string,
  builder: Group["builder"] = null,
): Group {
  return { name, schema, title, sentence, builder };
}

const made = (options: string, ...others: string[]): Group["builder"] => ({ options, fixed: ["kind", ...others] });

export const groups: readonly Group[] = [
  group(
    "Experiment",
    schemas.experimentSchema,
    "The experiment",
    "What a user writes: everything with a default may be left out.",
  ),
  group(
    "Model",
    schemas.modelSchema,
    "model",
    "A bi-encoder, as `biEncoder(checkpoint, options)` gives it.",
    made("BiEncoderOptions", "checkpoint"),
  ),
  group(
    "Lora",
    adapters.adapterSchema,
    "model.adapter",
    "LoRA, rsLoRA or DoRA, as `lora({ … })` gives it.",
    made("LoraOptions"),
  ),
  group(
    "Prompts",
    data.promptsSchema,
    "model.prompts and prompts of a source",
    "Texts put in front of queries and passages.",
  ),
  group("Train", schemas.trainSchema, "train", "How to train."),
  group(
    "Binary",
    data.binarySchema,
    "train.data: binary",
    "Relevant passages and mined negatives, as `binary({ … })` gives them.",
    made("BinaryOptions"),
  ),
  group(
    "Scored",
    data.scoredSchema,
    "train.data: scored",
    "Relevant passages and negatives with teacher scores as labels, as `scored({ … })` gives them.",
    made("ScoredOptions"),
  ),
  group(
    "MultiLevel",
    data.multiLevelSchema,
    "train.data: multiLevel",
    "Graded judgements, as `multiLevel({ … })` gives them.",
    made("MultiLevelOptions"),
  ),
  group(
    "Mix",
    data.mixSchema,
    "train.data: mix",
    "Several sets of training data, as `mix({ … })` gives them.",
    made("MixOptions"),
  ),
  group("MixPart", data.mixPartSchema, "train.data.parts: a part of a mix", "One part of a mix."),
  group("Loss", schemas.lossSchema, "train.loss", "A loss by name, with its own options beside it."),
  group("Matryoshka", schemas.matryoshkaSchema, "train.loss.matryoshka", "Dimensions that a loss is computed on."),
  group(
    "TrainRetriever",
    schemas.trainRetrieverSchema,
    "train.retriever",
    "A plugin's whole retriever by name, with its own options beside it.",
  ),
  group(
    "Refresh",
    schemas.refreshSchema,
    "train.refresh",
    "Negatives mined anew while the model trains: docs/mining.md.",
  ),
  group(
    "RefreshMine",
    schemas.refreshMineSchema,
    "train.refresh.mine",
    "How refreshed negatives are mined: as in `mine`, but for its output.",
  ),
  group(
    "TrainingArgs",
    schemas.trainingArgsSchema,
    "train.args",
    "Options of transformers' TrainingArguments, in camelCase.",
  ),
  group(
    "Source",
    data.sourceSchema,
    "evaluate.data, mine.data, encode.data and the sources of train.data",
    "Passages, queries and judgements, as `source({ … })` gives them.",
    made("SourceOptions"),
  ),
  group(
    "Combined",
    data.combinedSchema,
    "several sources as one",
    "Several sources as one data set, as `combined({ … })` gives them.",
    made("CombinedOptions"),
  ),
  group(
    "File",
    data.fileSchema,
    "a file with options",
    "A file and how to read it; a path alone stands for all defaults.",
  ),
  group("Templates", data.templatesSchema, "templates of a source", "How texts are made of title and text."),
  group("Extras", data.extrasSchema, "extras of a source", "What of the records plugins get beside the texts."),
  group("ScoreMap", data.scoreMapSchema, "scoreTransform: a map", "New scores for old ones."),
  group(
    "TrainEvaluate",
    evaluation.trainEvaluateSchema,
    "train.evaluate",
    "Evaluation of checkpoints while the model trains.",
  ),
  group(
    "SideWorkers",
    sides.sideWorkersSchema,
    "train.evaluate.workers, train.refresh.workers",
    "Workers beside the ranks of a training.",
  ),
  group("Evaluate", evaluation.evaluateSchema, "evaluate", "What to evaluate on."),
  group(
    "CrossEncoder",
    crossEncoders.crossEncoderSchema,
    "a cross-encoder",
    "Scores query and passage together, as `crossEncoder(checkpoint, options)` gives it.",
    made("CrossEncoderOptions", "checkpoint"),
  ),
  group(
    "Rerank",
    crossEncoders.rerankSchema,
    "rerank",
    "A cross-encoder that ranks again, as `crossEncoder(checkpoint, options)` gives it.",
    made("RerankOptions", "checkpoint"),
  ),
  group(
    "Suite",
    data.suiteSchema,
    "evaluate.data: suite",
    "Several data sets with one table, as `suite({ name: source({ … }), … })` gives them.",
  ),
  group("SuiteSet", data.suiteSetSchema, "evaluate.data.sets: a data set of a suite", "One data set of a suite."),
  group("SubCorpus", evaluation.subCorpusSchema, "evaluate.subCorpus", "A part of the corpus, for a quick look."),
  group("Mine", schemas.mineSchema, "mine", "Which hard negatives to mine."),
  group(
    "Rescore",
    schemas.mineSchema.shape.rescore.unwrap(),
    "mine.rescore",
    "A cross-encoder that looks at the candidates.",
  ),
  group("Retriever", schemas.retrieverSchema, "mine.retrievers: one of several", "A further model, or a run file."),
  group("Embeddings", schemas.embeddingsSchema, "embeddings", "The store of vectors, which all steps share."),
  group("Encode", schemas.encodeSchema, "encode", "What to encode."),
  group("Index", indexes.indexSchema, "encode.index, search.index", "A FAISS index that is built; needs faiss-cpu."),
  group("SavedIndex", indexes.savedIndexSchema, "search.index: a saved one", "A FAISS index in a folder."),
  group("Search", schemas.searchSchema, "search", "What to search, and for what."),
  group(
    "Validation",
    data.validationSchema,
    "validation",
    "What happens to each kind of fault in the data: `error` stops, `warn` tells and goes on, `drop` goes on.",
  ),
  group("Workers", schemas.workersSchema, "workers", "The worker processes for inference."),
  group("TrainSshNode", nodes.trainSshNodeSchema, 'train.nodes: kind "ssh"', "A machine that ssh reaches."),
  group("TrainSlurmNode", nodes.trainSlurmNodeSchema, 'train.nodes: kind "slurm"', "Machines that Slurm gives."),
  group("TrainManualNode", nodes.trainManualNodeSchema, 'train.nodes: kind "manual"', "A machine started by hand."),
  group("SshNode", nodes.sshNodeSchema, 'workers.nodes: kind "ssh"', "Workers on a machine that ssh reaches."),
  group("SlurmNode", nodes.slurmNodeSchema, 'workers.nodes: kind "slurm"', "Workers on machines that Slurm gives."),
  group("TorchrunNode", nodes.torchrunNodeSchema, 'workers.nodes: kind "torchrun"', "Workers as ranks of torchrun."),
  group("ManualNode", nodes.manualNodeSchema, 'workers.nodes: kind "manual"', "Workers that somebody starts by hand."),
];
