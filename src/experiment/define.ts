/** The builders that experiment scripts are written with; a wrong option is refused here, before any process starts. */
import { resolve } from "node:path";
import { QuarryError } from "../errors.js";
import type { VALUE_ALIASES } from "./aliases.js";
import { crossCheck, EMBEDDED } from "./cross-checks.js";
import { configError, explain, isPlainObject, shown } from "./explain.js";
import type { LossInput, SharedLossOptions } from "./loss-types.js";
import { normalize } from "./normalize.js";
import type {
  BiEncoderOptions,
  BinaryInput,
  BinaryOptions,
  CombinedInput,
  CombinedOptions,
  ExperimentInput,
  LoraInput,
  LoraOptions,
  MixInput,
  MixOptions,
  ModelInput,
  MultiLevelInput,
  MultiLevelOptions,
  RerankInput,
  RerankOptions,
  ScoredInput,
  ScoredOptions,
  SourceInput,
  SourceOptions,
  SuiteInput,
  SuiteSetInput,
} from "./options.generated.js";
import type { EncoderName, EncoderOptions, LossOptions } from "./plugin-types.js";
import { type ExperimentConfig, experimentSchema } from "./schema.js";

/** An experiment that was checked: what the verbs work with. */
export interface Experiment {
  readonly kind: "experiment";
  /** What the user wrote. */
  readonly input: ExperimentInput;
  /** The same with every default filled in and every alias replaced. */
  readonly config: ExperimentConfig;
  /** Absolute folder in which relative paths of sources start: the script's own under `quarry run`. */
  readonly baseDir: string;
}

/** Surroundings of an experiment. */
export interface DefineOptions {
  /**
   * Folder in which relative paths start; `quarry run` takes the script's folder, otherwise it is the working folder. A
   * relative one starts in the working folder.
   */
  readonly baseDir?: string;
}

const baseDirs = new WeakSet<Experiment>();

/** Whether the user named the folder, so that the script's own must not take its place. */
export function hasOwnBaseDir(experiment: Experiment): boolean {
  return baseDirs.has(experiment);
}

/**
 * Describes an experiment: a model, and what to do with it.
 *
 * @throws CONFIG naming every option that is unknown, missing or of the wrong type
 * @example
 * export default defineExperiment({
 *   name: "scifact-minilm",
 *   model: biEncoder("sentence-transformers/all-MiniLM-L6-v2"),
 *   evaluate: { data: source({ corpus: "corpus.jsonl", qrels: "qrels/test.tsv" }) },
 * });
 */
export function defineExperiment(input: ExperimentInput, options: DefineOptions = {}): Experiment {
  const experiment: Experiment = {
    kind: "experiment",
    input,
    config: parseExperiment(input),
    baseDir: folderOf(options.baseDir),
  };
  if (options.baseDir !== undefined) baseDirs.add(experiment);
  return experiment;
}

/** The same folder when the process works elsewhere later. */
function folderOf(given: unknown = "."): string {
  if (typeof given === "string") return resolve(given);
  throw new QuarryError("CONFIG", `baseDir: expected the path of a folder, saw ${shown(given)}`, {
    hint: "defineExperiment({ … }, { baseDir: import.meta.dirname })",
  });
}

/** Whether this is what {@link defineExperiment} gives. */
export function isExperiment(value: unknown): value is Experiment {
  return isPlainObject(value) && value.kind === "experiment" && isPlainObject(value.input);
}

/**
 * Refuses whatever a script hands to a verb that is no experiment.
 *
 * @throws CONFIG saying what was seen
 */
export function requireExperiment(value: unknown): void {
  if (isExperiment(value)) return;
  throw new QuarryError("CONFIG", `expected what defineExperiment(…) gives, saw ${shown(value)}`, {
    hint: 'Hand over defineExperiment({ … }), or await loadExperiment("experiment.ts").',
  });
}

/**
 * Checks an experiment's input and fills in every default.
 *
 * @throws CONFIG with all problems at once
 */
export function parseExperiment(input: unknown): ExperimentConfig {
  if (!isPlainObject(input))
    throw configError([{ path: [], message: `an experiment is an object of options, saw ${shown(input)}` }]);
  const { value, problems } = normalize(input);
  const result = experimentSchema.safeParse(value);
  const found = result.success ? crossCheck(result.data) : explain(result.error.issues, value);
  if (!result.success || problems.length > 0 || found.length > 0) throw configError([...found, ...problems]);
  return result.data;
}

/**
 * Passages with queries and judgements, and the steps that choose and relabel the judgements.
 *
 * @example
 * source({ corpus: "scifact/", qrels: "scifact/qrels/train.tsv", minScore: 1 });
 */
export function source(options: SourceOptions): SourceInput {
  return { kind: "source", ...options };
}

/**
 * Several sources as one data set. Queries with equal ids are the same query; equal ids in different corpora are
 * different passages.
 *
 * @example
 * combined({ sources: [judged, source({ corpus: "more.jsonl" })] }); // the second one only enlarges the search pool
 */
export function combined(options: CombinedOptions): CombinedInput {
  return { kind: "combined", ...options };
}

/** A data set of a suite: its data alone, or with measures of its own. */
export type SuiteSetOptions = SourceInput | CombinedInput | Omit<SuiteSetInput, "name">;

/**
 * Several data sets that are evaluated in one go, with one table of all: sets as rows, measures as columns, and their
 * average.
 *
 * @example
 * suite({
 *   nfcorpus: source({ corpus: "nfcorpus", qrels: "nfcorpus/qrels/test.tsv" }),
 *   scifact: { data: source({ corpus: "scifact", qrels: "scifact/qrels/test.tsv" }), measures: ["nDCG@10", "R@100"] },
 * });
 */
export function suite(sets: Readonly<Record<string, SuiteSetOptions>>): SuiteInput {
  return {
    kind: "suite",
    // What is no group of options at all is left to the check of the experiment.
    sets: Object.entries(sets).map(([name, set]) => {
      const hasData = isPlainObject(set) && Object.hasOwn(set, "data");
      return hasData ? { name, ...(set as Omit<SuiteSetInput, "name">) } : { name, data: set as SourceInput };
    }),
  };
}

/** Training data of relevant passages and, when there are some, mined negatives. */
export function binary(options: BinaryOptions): BinaryInput {
  return { kind: "binary", ...options };
}

/** As {@link binary}, with the sources' scores as labels: teacher scores for distillation. */
export function scored(options: ScoredOptions): ScoredInput {
  return { kind: "scored", ...options };
}

/** Training data of graded judgements. */
export function multiLevel(options: MultiLevelOptions): MultiLevelInput {
  return { kind: "multiLevel", ...options };
}

/**
 * Training data of several kinds or sources, mixed by weight.
 *
 * @example
 * mix({ parts: [{ data: binary({ … }), weight: 2 }, { data: binary({ … }), weight: 1 }], batches: "single" });
 */
export function mix(options: MixOptions): MixInput {
  return { kind: "mix", ...options };
}

/**
 * A loss by name, with its options: the way to name a loss of a plugin whose options no types are known of. Options of
 * known losses are checked by the compiler.
 *
 * @example
 * loss("my_loss", { margin: 0.3, weight: 0.5 });
 */
export function loss<Name extends string>(
  name: Name,
  options?: SharedLossOptions & (Name extends keyof LossOptions ? LossOptions[Name] : Record<string, unknown>),
): LossInput {
  // The branch of the union that the name stands for; without types of its own, a plugin's.
  return { ...options, name } as unknown as LossInput;
}

/** Options of a bi-encoder, under Quarry's names or those people bring along; `Encoder` is the name of its encoder. */
export interface BiEncoderNames<Encoder extends EncoderName = EncoderName>
  extends Omit<BiEncoderOptions, "encoder" | "encoderOptions" | "pooling" | "prompts"> {
  /** Name of a registered encoder: "auto", or what a plugin brings and `quarry types` wrote down. */
  encoder?: Encoder;
  /** Options of the encoder. */
  encoderOptions?: EncoderOptions[Encoder];
  /** How token vectors become one; default: the checkpoint's own. */
  pooling?: BiEncoderOptions["pooling"] | keyof (typeof VALUE_ALIASES)["model.pooling"];
  /** Texts put in front; default: the checkpoint's own. `document` and `corpus` mean `passage`. */
  prompts?: BiEncoderOptions["prompts"] | { query?: string; document?: string } | { query?: string; corpus?: string };
}

/** Where an encoder has options without defaults, it needs them; a name that no types know of (`as never`) has any. */
type NeededOptions<Encoder extends EncoderName> = [Encoder] extends [never]
  ? unknown
  : Record<string, never> extends EncoderOptions[Encoder]
    ? unknown
    : { encoderOptions: EncoderOptions[Encoder] };

/**
 * One encoder for queries and passages.
 *
 * @param checkpoint a Hugging Face model id, a folder, or {@link demoModel}
 */
export function biEncoder<Encoder extends EncoderName = "auto">(
  checkpoint: string,
  options?: BiEncoderNames<Encoder> & NeededOptions<Encoder>,
): ModelInput {
  // Aliases are told apart by the types above and replaced when the experiment is checked.
  return { kind: "biEncoder", checkpoint, ...(options as BiEncoderOptions | undefined) };
}

/**
 * A low-rank adapter: training changes a small fraction of the numbers, and a checkpoint holds only those.
 *
 * @example
 * biEncoder("Qwen/Qwen3-Embedding-0.6B", { adapter: lora({ r: 32, alpha: 64, rslora: true }) });
 */
export function lora(options: LoraOptions = {}): LoraInput {
  return { kind: "lora", ...options };
}

/** Options of a cross-encoder, under Quarry's names or those people bring along. */
export interface CrossEncoderNames extends Omit<RerankOptions, "activation" | "dtype"> {
  /** What makes a logit a score; default: what the checkpoint says, else sigmoid of one label and softmax of several. */
  activation?: RerankOptions["activation"] | keyof (typeof VALUE_ALIASES)["crossEncoder.activation"];
  /** Number format of scoring; auto is bfloat16 on a GPU that has it, else float32. */
  dtype?: RerankOptions["dtype"] | keyof (typeof VALUE_ALIASES)["crossEncoder.dtype"];
}

/**
 * A model that reads query and passage together and gives one score.
 *
 * @param checkpoint a Hugging Face model id or a folder: sequence classification, or a language model that ranks, causal
 *   or encoder-decoder
 * @example
 * defineExperiment({ …, rerank: crossEncoder("cross-encoder/ms-marco-MiniLM-L6-v2", { topK: 100 }) });
 */
export function crossEncoder(checkpoint: string, options: CrossEncoderNames = {}): RerankInput {
  // Aliases are told apart by the types above and replaced when the experiment is checked.
  return { kind: "crossEncoder", checkpoint, ...(options as RerankOptions) };
}

/** The checkpoint that comes with Quarry: all-MiniLM-L6-v2, no download needed. */
export const demoModel = `${EMBEDDED}all-MiniLM-L6-v2`;

/**
 * The collection that comes with Quarry: search over Python's own standard library, split by module. It brings queries
 * and judgements along; `qrels`, such as mined negatives, and `queries` take the place of its own.
 *
 * @param split `train` holds about three quarters of the modules, `heldout` the others
 */
export function demoSource(split: "train" | "heldout", options: Omit<SourceOptions, "corpus"> = {}): SourceInput {
  return source({ ...options, corpus: `${EMBEDDED}stdlib/${split}` });
}
