/** Looking at an experiment's data without running it: check, stats and show; no run folder, no workers. */
import { type CacheEntry, entriesOf, openTrainingSet, prepareSource } from "../data/index.js";
import { type CheckReport, checkSources } from "../data/inspect/check.js";
import type { InspectedData, InspectedTraining } from "../data/inspect/inspected.js";
import { type ShownStep, showStepOf } from "../data/inspect/show.js";
import { type DataStats, statsOfSources } from "../data/inspect/stats.js";
import { sourceFiles } from "../data/source-files.js";
import type { DataContext, PreparedSource, TrainingSet } from "../data/types.js";
import { QuarryError, stopIfAborted } from "../errors.js";
import { type Experiment, requireExperiment } from "../experiment/define.js";
import { searchSources, setsOf, trainingSources } from "../experiment/sources.js";
import type { PythonEnvironment } from "../python/environment.js";
import { askedBy } from "./asked-data.js";
import { cacheDirOf, dataContextOf } from "./data-context.js";
import type { ResolveContext } from "./embedded.js";
import { resolveSearch, resolveTraining } from "./resolve.js";

/**
 * Opens what an experiment trains on, for scripts that want the groups themselves.
 *
 * @throws QuarryError CONFIG for an experiment without training, DATA or ENVIRONMENT.
 * @example
 * const set = await openTrainingData(experiment);
 * const [first] = planStep(set, 0, 32); // the groups of step 0
 * set.close();
 */
export async function openTrainingData(experiment: Experiment, options: DataOptions = {}): Promise<TrainingSet> {
  const look = new Look(experiment, options);
  const { train } = experiment.config;
  if (train !== undefined) return openTrainingSet(await resolveTraining(look, train.data), look.context);
  throw new QuarryError("CONFIG", `the experiment ${experiment.config.name} has no train section`);
}

/**
 * Opens what an experiment evaluates, mines or encodes: passages, queries and judgements.
 *
 * @param options `set` names the data set of a suite.
 * @throws QuarryError CONFIG for an experiment without that section, DATA or ENVIRONMENT.
 */
export async function openSearchData(
  experiment: Experiment,
  section: "evaluate" | "mine" | "encode" | "search",
  options: DataOptions & { readonly set?: string } = {},
): Promise<PreparedSource> {
  const look = new Look(experiment, options);
  const data = experiment.config[section]?.data;
  if (data === undefined)
    throw new QuarryError("CONFIG", `the experiment ${experiment.config.name} has no ${section} section`);
  const sets = setsOf(data, `${section}.data`);
  const set = options.set === undefined && sets.length === 1 ? sets[0] : sets.find(({ name }) => name === options.set);
  if (set !== undefined) return prepareSource(await resolveSearch(look, set.data), look.context);
  const names = sets.map(({ name }) => name ?? "").join(", ");
  throw new QuarryError("CONFIG", `${section}.data: which data set of ${names || "none"} is meant?`, {
    hint: `Name it: openSearchData(experiment, "${section}", { set: "${sets[0]?.name ?? ""}" }).`,
  });
}

/** Surroundings of a look at the data. */
export interface DataOptions {
  readonly signal?: AbortSignal;
  /** Hears how far files that the cache does not hold yet have been read. */
  readonly onProgress?: DataContext["onProgress"];
  readonly onWarning?: DataContext["onWarning"];
}

/** What the cache holds of an experiment's files. */
export interface CachedData {
  readonly folder: string;
  readonly entries: readonly Pick<CacheEntry, "kind" | "name" | "bytes" | "sources">[];
}

/**
 * Finds every fault of an experiment's data, whatever its policies say.
 *
 * @throws QuarryError ENVIRONMENT where the machine is at fault and not the data.
 * @example
 * const { isSound, faults } = await checkData(await loadExperiment("experiment.ts"));
 */
export async function checkData(experiment: Experiment, options: DataOptions = {}): Promise<CheckReport> {
  const look = new Look(experiment, options);
  return checkSources(await look.data(), look.context);
}

/**
 * Counts what an experiment's data is made of, and what of it lies in the cache.
 *
 * @throws QuarryError CONFIG, DATA or ENVIRONMENT.
 */
export async function dataStats(
  experiment: Experiment,
  options: DataOptions = {},
): Promise<DataStats & { readonly cache: CachedData }> {
  const look = new Look(experiment, options);
  const data = await look.data();
  const stats = await statsOfSources(data, look.context);
  return { ...stats, cache: await look.cached(data) };
}

/**
 * The batch of a training step, each text traced to its file and line.
 *
 * @param step counts from 0.
 * @throws QuarryError CONFIG for an experiment without training or no such step, DATA or ENVIRONMENT.
 */
export async function showStep(experiment: Experiment, step: number, options: DataOptions = {}): Promise<ShownStep> {
  if (!(Number.isSafeInteger(step) && step >= 0)) {
    throw new QuarryError("CONFIG", `step: expected a whole number from 0 on, saw ${step}`);
  }
  const look = new Look(experiment, options, "train");
  const { train, ...data } = await look.data();
  if (train !== null) return showStepOf({ ...data, train }, look.context, step);
  throw new QuarryError("CONFIG", `the experiment ${experiment.config.name} has no train section`, {
    hint: "Only training has steps; quarry data stats shows what is evaluated, mined and encoded.",
  });
}

/** What resolving and opening need, without a run folder. */
export class Look implements ResolveContext {
  readonly cacheDir: string;
  readonly context: DataContext;
  readonly signal: AbortSignal;
  #python: Promise<PythonEnvironment> | null = null;

  constructor(
    private readonly experiment: Experiment,
    options: DataOptions,
    private readonly only: "train" | null = null,
  ) {
    requireExperiment(experiment);
    this.cacheDir = cacheDirOf(experiment);
    this.signal = options.signal ?? new AbortController().signal;
    this.context = dataContextOf(experiment, { ...options, signal: this.signal });
  }

  /** Only embedded collections need it. */
  python(): Promise<PythonEnvironment> {
    this.#python ??= import("../python/environment.js").then(({ findPython }) => findPython({ signal: this.signal }));
    return this.#python;
  }

  checkStop(): void {
    stopIfAborted(this.signal);
  }

  async data(): Promise<InspectedData> {
    const { config } = this.experiment;
    let train: InspectedTraining | null = null;
    if (config.train !== undefined) {
      const { data, globalBatchSize } = config.train;
      train = { data: await resolveTraining(this, data), globalBatchSize };
    }
    // What is searched while training comes last: of passages that sections share, the first one's are looked at.
    const sections = this.only === null ? (["evaluate", "mine", "encode", "search", "train"] as const) : [];
    const asked = sections.flatMap((section) => askedBy(config, section));
    const searched: InspectedData["searched"][number][] = [];
    for (const each of asked) searched.push({ ...each, data: await resolveSearch(this, each.data) });
    const sources = [
      ...(train === null ? [] : trainingSources(train.data, "train.data")),
      ...searched.flatMap(({ path, data }) => searchSources(data, path)),
    ];
    return { sources, searched, train };
  }

  async cached({ sources }: InspectedData): Promise<CachedData> {
    const files = sources.map(([, source]) => sourceFiles(source, this.context.baseDir));
    const paths = files.flatMap(({ corpus, queries, qrels, querySubset }) => [
      ...corpus,
      ...(queries ?? []),
      ...qrels,
      ...(querySubset ?? []),
    ]);
    const own = paths.map(({ path }) => path);
    const entries = await entriesOf(this.cacheDir, own, { signal: this.signal });
    return {
      folder: this.cacheDir,
      entries: entries.map(({ kind, name, bytes, sources: from }) => ({ kind, name, bytes, sources: from })),
    };
  }
}
