/** The verbs as users call them: open the run folder, do the steps in order, close everything whatever happens. */
import { relative, resolve } from "node:path";
import { interrupted, QuarryError, toQuarryError } from "../errors.js";
import type { Experiment } from "../experiment/define.js";
import { checkPaths, sourcesOf } from "../experiment/paths.js";
import type { ExperimentConfig, stepNames, TrainConfig } from "../experiment/schema.js";
import { EventStream } from "../report/events.js";
import { openRunDir } from "../rundir/directory.js";
import { RunContext } from "./context.js";
import { encodeStep } from "./encode.js";
import { type EvaluateResult, evaluateStep } from "./evaluate.js";
import { tellChosen } from "./evaluating/chosen.js";
import { evalStepsOf } from "./evaluating/index.js";
import { mineStep } from "./mine.js";
import { lookThrough } from "./prepare.js";
import { RERANKED, rerankStep } from "./rerank.js";
import { fetchHubFiles } from "./resolve.js";
import { searchStep } from "./search.js";
import { seedsOf } from "./seeds.js";
import { BASE_MODEL, currentModel } from "./step.js";
import { summarise, type Throughput } from "./summary.js";
import { checkLayout, type TrainResult, trainStep } from "./train.js";
import type { RunResult, VerbOptions } from "./types.js";

type StepName = (typeof stepNames)[number];

/** Does everything the experiment asks for, in the order of its `steps`. */
export function run(experiment: Experiment, options: VerbOptions = {}): Promise<RunResult> {
  const { config } = experiment;
  const present = (["train", "evaluate", "mine", "encode", "search"] as const).filter(
    (step) => config[step] !== undefined,
  );
  return runSteps(experiment, config.steps ?? present, options);
}

/** Trains; goes on from the newest complete checkpoint of the run folder. */
export const train = verb("train");
/** Evaluates the checkpoint that was trained in the run folder, or else the experiment's own model. */
export const evaluate = verb("evaluate");
/** Mines hard negatives with the checkpoint that was trained in the run folder, or else with the experiment's own model. */
export const mine = verb("mine");
/** Encodes with the checkpoint that was trained in the run folder, or else with the experiment's own model. */
export const encode = verb("encode");
/** Searches with the checkpoint that was trained in the run folder, or else with the experiment's own model. */
export const search = verb("search");

function verb(step: StepName) {
  return (experiment: Experiment, options: VerbOptions = {}): Promise<RunResult> =>
    runSteps(experiment, [step], options);
}

async function runSteps(experiment: Experiment, steps: readonly StepName[], options: VerbOptions): Promise<RunResult> {
  const { config } = experiment;
  for (const step of steps) {
    if (config[step] !== undefined) continue;
    throw new QuarryError("CONFIG", `the experiment ${config.name} has no ${step} section`, {
      hint: `Add ${step}: { … } to defineExperiment, or leave ${step} out of the steps.`,
    });
  }
  if (steps.length === 0) {
    throw new QuarryError("CONFIG", `the experiment ${config.name} asks for nothing`, {
      hint: "Add a train, evaluate, mine, encode or search section.",
    });
  }
  checkPaths(experiment, steps);
  if (config.train !== undefined && steps.includes("train")) await checkLayout(config.train);
  const path = resolve(config.runDir ?? `runs/${config.name}`);
  const runDir = await openRunDir({ path, config: determinants(config), bound });
  try {
    // Its own: whoever asked may hear several runs with one stream.
    const events = new EventStream(options.events);
    runDir.recordEvents(events);
    const signal = options.signal ?? new AbortController().signal;
    return await runIn(new RunContext(experiment, runDir, events, signal), steps);
  } finally {
    await runDir.close();
  }
}

async function runIn(context: RunContext, steps: readonly StepName[]): Promise<RunResult> {
  const { experiment, config, runDir, events } = context;
  const { path } = runDir;
  const begin = performance.now();
  let status: "done" | "failed" | "stopped" = "failed";
  try {
    events.emit({ type: "runStarted", name: config.name, runDir: path, steps, isResumed: runDir.isResumed });
    // Whatever is missing on the hub is told before the first step, not after hours of the others.
    await fetchHubFiles(
      context,
      steps.flatMap((step) => sourcesOf(experiment, step).map(([, source]) => source)),
    );
    await lookThrough(context, steps);
    await runDir.writeJson("experiment.json", config);
    const baseDir = relative(path, experiment.baseDir);
    await runDir.recordEnvironment({ seed: config.seed, seeds: seedsOf(config), baseDir });
    const result = await doSteps(context, steps);
    status = "done";
    return result;
  } catch (thrown) {
    const { aborted, reason } = context.signal;
    const error = aborted && thrown === reason ? interrupted({ cause: thrown }) : toQuarryError(thrown);
    if (aborted || error.code === "INTERRUPTED") status = "stopped";
    else events.emit({ type: "error", code: error.code, message: error.message, hint: error.hint ?? null });
    throw error;
  } finally {
    try {
      await context.closePool();
    } finally {
      events.emit({ type: "runFinished", status, seconds: (performance.now() - begin) / 1000, runDir: path });
    }
  }
}

async function doSteps(context: RunContext, steps: readonly StepName[]): Promise<RunResult> {
  const evaluations = new Map<string, EvaluateResult>();
  const files: Record<string, string> = {};
  const throughputs: Throughput[] = [];
  const written: (readonly [string, number])[] = [];
  let trained: TrainResult | null = null;
  if (!steps.includes("train")) tellChosen(context);
  for (const [index, step] of steps.entries()) {
    // A run that trains later works with the untrained model first, also when it is resumed after the training.
    const model = steps.indexOf("train", index + 1) >= 0 ? BASE_MODEL : currentModel(context);
    switch (step) {
      case "train":
        trained = await trainStep(context);
        tellChosen(context);
        break;
      case "evaluate": {
        const result = await evaluateStep(context, model);
        evaluations.set(model.label, result);
        const again = await rerankStep(context, model, result);
        if (again !== null) evaluations.set(model.label + RERANKED, again);
        for (const { name, run: file, throughput } of result.sets) {
          files[name === null ? `run.${model.label}` : `run.${model.label}/${name}`] = context.runDir.file(file);
          throughputs.push(throughput);
        }
        for (const { name, run: file } of again?.sets ?? []) {
          const label = model.label + RERANKED;
          files[name === null ? `run.${label}` : `run.${label}/${name}`] = context.runDir.file(file);
        }
        break;
      }
      case "mine": {
        const result = await mineStep(context, model);
        for (const [file] of result.files) files[file] = context.runDir.file(file);
        files.negatives = context.runDir.file((result.files[0] as (typeof result.files)[number])[0]);
        files.miningReport = context.runDir.file(result.report);
        written.push(...result.counts, ...result.files);
        throughputs.push(result.throughput);
        break;
      }
      case "encode": {
        const result = await encodeStep(context, model);
        if (result.vectors !== null) files.vectors = context.runDir.file(result.vectors);
        if (result.scales !== null) files.scales = context.runDir.file(result.scales);
        files.ids = context.runDir.file(result.ids);
        written.push([result.vectors ?? "stored vectors", result.rowCount]);
        if (context.config.encode?.side === "passage") throughputs.push(result.throughput);
        break;
      }
      case "search": {
        const result = await searchStep(context, model);
        files.search = context.runDir.file(result.run);
        files.hits = context.runDir.file(result.hits);
        throughputs.push(result.throughput);
        break;
      }
    }
  }
  const summary = summarise({ evaluations, train: trained, throughputs, written });
  if (summary !== null) context.events.emit(summary);
  return {
    runDir: context.runDir.path,
    metrics: metricsOf(evaluations),
    checkpoint: currentModel(context).checkpoint ?? null,
    files,
  };
}

/** Values by model; of a suite also by model and data set, e.g. `base` (the average) and `base/scifact`. */
function metricsOf(evaluations: ReadonlyMap<string, EvaluateResult>): RunResult["metrics"] {
  const all = [...evaluations].flatMap(([label, { values, sets }]) => [
    [label, values] as const,
    ...sets.filter(({ name }) => name !== null).map((set) => [`${label}/${set.name}`, set.values] as const),
  ]);
  return Object.fromEntries(all.map(([label, values]) => [label, { ...values }]));
}

/** The options that determine results: another value of these belongs into another run folder. */
function determinants(config: ExperimentConfig): unknown {
  const { runDir: _runDir, cacheDir: _cacheDir, steps: _steps, workers, train: training, ...others } = config;
  const { batchSize, unitSize } = workers;
  // Whether vectors are kept changes no more than the last bits of a score; what they are rounded to does.
  const rest = { ...others, embeddings: { dtype: config.embeddings.dtype } };
  if (training === undefined) return { ...rest, workers: { batchSize, unitSize } };
  const { args, evaluate, refresh, ...learning } = training;
  const train = {
    ...without(learning, FREE_IN_TRAINING),
    args: without(args, FREE_IN_ARGS),
    ...evaluating(training, evaluate),
    ...refreshing(refresh),
  };
  return { ...rest, workers: { batchSize, unitSize }, train };
}

/**
 * A resume may use other machines and ranks, and cut a batch in another way: the queries of a step do not depend on it,
 * and what each is compared with is guarded by the checkpoint.
 */
const FREE_IN_TRAINING = [
  ...["ranks", "nodes", "minNodes", "threads", "queriesPerRank", "miniBatchSize", "lengthGroups"],
  ...["maxRestarts", "startTimeoutMs"],
];
const FREE_IN_ARGS = [
  ...["saveSteps", "saveTotalLimit", "fsdp", "fsdpConfig", "gradientCheckpointing", "gradientCheckpointingKwargs"],
  ...["ddpBackend", "ddpBucketCapMb", "ddpTimeout", "torchEmptyCacheSteps", "logLevel", "logLevelReplica"],
];

function without(options: object, names: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !names.includes(name)));
}

/** What evaluation in training comes to does not depend on who evaluates, nor on what is kept. */
function evaluating(training: TrainConfig, evaluate: TrainConfig["evaluate"]): Record<string, unknown> {
  if (evaluate === undefined) return {};
  const { mode: _mode, workers: _workers, maxWaiting: _maxWaiting, saveBestLimit: _limit, ...rest } = evaluate;
  return { evaluate: { ...rest, evalSteps: evalStepsOf(training) } };
}

/** Nor does what is mined depend on who mines. */
function refreshing(refresh: TrainConfig["refresh"]): Record<string, unknown> {
  if (refresh === undefined) return {};
  const { workers: _workers, ...rest } = refresh;
  return { refresh: rest };
}

/** The sections of the experiment that something in the run folder depends on; the others may still change. */
function bound(entries: readonly { readonly type: string; readonly step?: unknown }[]): string[] {
  const done = new Set<string>();
  for (const { type, step } of entries) {
    if (type === "trainBegun") done.add("train");
    // A search is only asked: the next question may be another one.
    else if (typeof step === "string" && !step.startsWith("search-")) done.add(step.split("-")[0] as string);
  }
  return done.size === 0 ? [] : ["name", "model", "seed", "workers", "embeddings", ...done];
}
