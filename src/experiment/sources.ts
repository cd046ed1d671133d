/** Every source of an experiment, with the path of the option it stands at. */
import type {
  EvaluationDataConfig,
  FilesConfig,
  SearchDataConfig,
  SourceConfig,
  TrainingDataConfig,
} from "./data-schema.js";
import type { EvaluateConfig, TrainEvaluateConfig } from "./evaluate-schema.js";

/** The options of a source that shape its judgements, and mean nothing without any. */
export const ALGEBRA = [
  "minScore",
  "maxScore",
  "filter",
  "groupFilter",
  "groupTopK",
  "groupBottomK",
  "groupFirstK",
  "groupRandomK",
  "scoreTransform",
] as const satisfies readonly (keyof SourceConfig)[];

/** A source and where it stands, e.g. ["train.data.positives", source]. */
export type PlacedSource = readonly [path: string, source: SourceConfig];

/** One data set of an evaluation. */
export interface EvaluationSet {
  /** Null for the only data set of an evaluation without a suite. */
  readonly name: string | null;
  /** Path of its data, e.g. "evaluate.data.sets.0.data". */
  readonly path: string;
  readonly data: SearchDataConfig;
  /** Its own measures, where it has some. */
  readonly measures: readonly string[] | null;
  /** Somebody else's ranking that is measured in the place of a search: its files, and the path of their option. */
  readonly run: readonly [path: string, files: FilesConfig] | null;
}

/** The data sets that data stands for: those of a suite, else itself. */
export function setsOf(data: EvaluationDataConfig, path: string): EvaluationSet[] {
  if (data.kind !== "suite") return [{ name: null, path, data, measures: null, run: null }];
  return data.sets.map(({ name, data: own, measures = null, run }, index) => ({
    name,
    path: `${path}.sets.${index}.data`,
    data: own,
    measures,
    run: run === undefined ? null : [`${path}.sets.${index}.run`, run],
  }));
}

/** The data sets of an evaluate section, each with the run that is measured there, if any. */
export function evaluatedSets({ data, run }: Pick<EvaluateConfig, "data" | "run">): EvaluationSet[] {
  const sets = setsOf(data, "evaluate.data");
  return run === undefined ? sets : sets.map((set) => ({ ...set, run: set.run ?? ["evaluate.run", run] }));
}

/** What an evaluation in training gives values of: the measures that all data sets have, then each set's own as set/measure. */
export function metricsOf({ data, measures }: Pick<TrainEvaluateConfig, "data" | "measures">): string[] {
  const sets = setsOf(data, "train.evaluate.data").map((set) => ({ name: set.name, own: set.measures ?? measures }));
  const shared = sets[0]?.own.filter((measure) => sets.every(({ own }) => own.includes(measure))) ?? [];
  return [...shared, ...sets.flatMap(({ name, own }) => (name === null ? [] : own.map((each) => `${name}/${each}`)))];
}

/** The sources of what is evaluated, mined or encoded. */
export function searchSources(data: EvaluationDataConfig, path: string): PlacedSource[] {
  if (data.kind === "source") return [[path, data]];
  if (data.kind === "suite") return setsOf(data, path).flatMap((set) => searchSources(set.data, set.path));
  return data.sources.map((source, index) => [`${path}.sources.${index}`, source] as const);
}

/** The sources of training data, positives first. */
export function trainingSources(data: TrainingDataConfig, path: string): PlacedSource[] {
  if (data.kind === "mix") {
    return data.parts.flatMap((part, index) => trainingSources(part.data, `${path}.parts.${index}.data`));
  }
  if (data.kind === "multiLevel") {
    return data.sources.map((source, index) => [`${path}.sources.${index}`, source] as const);
  }
  const negatives = data.negatives === undefined ? [] : searchSources(data.negatives, `${path}.negatives`);
  return [...searchSources(data.positives, `${path}.positives`), ...negatives];
}

/** A copy of search data with each source replaced. */
export async function mapSearch(
  data: SearchDataConfig,
  replace: (source: SourceConfig) => Promise<SourceConfig>,
): Promise<SearchDataConfig> {
  if (data.kind === "source") return replace(data);
  return { ...data, sources: await Promise.all(data.sources.map(replace)) };
}

/** A copy of training data with each source replaced. */
export async function mapTraining<Data extends TrainingDataConfig>(
  data: Data,
  replace: (source: SourceConfig) => Promise<SourceConfig>,
): Promise<Data> {
  const mapped = async (given: TrainingDataConfig): Promise<TrainingDataConfig> => {
    if (given.kind === "mix") {
      const parts = await Promise.all(
        given.parts.map(async (part) => ({ ...part, data: await mapTraining(part.data, replace) })),
      );
      return { ...given, parts };
    }
    if (given.kind === "multiLevel") return { ...given, sources: await Promise.all(given.sources.map(replace)) };
    const negatives = given.negatives === undefined ? {} : { negatives: await mapSearch(given.negatives, replace) };
    return { ...given, positives: await mapSearch(given.positives, replace), ...negatives };
  };
  // A view stays of its kind: only its sources are others.
  return (await mapped(data)) as Data;
}

/** The path of a file as the user wrote it. */
export function pathsOf(files: SourceConfig["corpus"] | undefined): string[] {
  if (files === undefined) return [];
  return (Array.isArray(files) ? files : [files]).map((file) => (typeof file === "string" ? file : file.path));
}
