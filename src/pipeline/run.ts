/** The verbs as users call them: open the run folder, do the steps in order, close everything whatever happens. */
import { relative } from "node:path";
import { interrupted, QuarryError, toQuarryError } from "../errors.js";
import type { Experiment } from "../experiment/define.js";
import { checkPaths, sourcesOf } from "../experiment/paths.js";
import type { ExperimentConfig, stepNames } from "../experiment/schema.js";
import { EventStream } from "../report/events.js";
import { openRunDir } from "../rundir/directory.js";
import { comingFiles, runDirOf } from "./coming-files.js";
import { RunContext } from "./context.js";
import { bound, determinants } from "./determinants.js";
import { encodeStep } from "./encode.js";
import { evaluateStep } from "./evaluate.js";
import { tellChosen } from "./evaluating/chosen.js";
import type { EvaluateResult } from "./evaluation-result.js";
import { mineStep } from "./mine.js";
import { lookThrough } from "./prepare.js";
import { fetchHubFiles } from "./resolve.js";
import { searchStep } from "./search.js";
import { seedsOf } from "./seeds.js";
import { BASE_MODEL, currentModel, type ModelChoice, type StepLeft } from "./step.js";
import { summarise } from "./summary.js";
import { trainStep } from "./train.js";
import { checkLayout, checkMachine } from "./train-checks.js";
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
  const path = runDirOf(config);
  const coming = comingFiles(experiment, steps, path);
  checkPaths(experiment, steps, coming);
  if (config.train !== undefined && steps.includes("train")) await checkLayout(config.train, config.workers);
  const runDir = await openRunDir({ path, config: determinants(config), bound });
  try {
    // Its own: whoever asked may hear several runs with one stream.
    const events = new EventStream(options.events);
    runDir.recordEvents(events);
    const signal = options.signal ?? new AbortController().signal;
    return await runIn(new RunContext(experiment, runDir, events, signal), steps, coming);
  } finally {
    await runDir.close();
  }
}

async function runIn(context: RunContext, steps: readonly StepName[], coming: ReadonlySet<string>): Promise<RunResult> {
  const { experiment, config, runDir, events } = context;
  const { path } = runDir;
  const begin = performance.now();
  let status: "done" | "failed" | "stopped" = "failed";
  try {
    events.emit({ type: "runStarted", name: config.name, runDir: path, steps, isResumed: runDir.isResumed });
    if (steps.includes("train")) await checkMachine(context);
    // Whatever is missing on the hub is told before the first step, not after hours of the others.
    await fetchHubFiles(
      context,
      steps.flatMap((step) => sourcesOf(experiment, step).map(([, source]) => source)),
    );
    await lookThrough(context, steps, coming);
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

type Section<Name extends StepName> = NonNullable<ExperimentConfig[Name]>;

/** What is done for each section of an experiment. */
const STEPS: {
  readonly [Name in StepName]: (context: RunContext, section: Section<Name>, model: ModelChoice) => Promise<StepLeft>;
} = { train: trainStep, evaluate: evaluateStep, mine: mineStep, encode: encodeStep, search: searchStep };

function doStep<Name extends StepName>(context: RunContext, name: Name, model: ModelChoice): Promise<StepLeft> {
  // A step without a section was refused before the run folder was opened.
  return STEPS[name](context, context.config[name] as Section<Name>, model);
}

async function doSteps(context: RunContext, steps: readonly StepName[]): Promise<RunResult> {
  const left: StepLeft[] = [];
  if (!steps.includes("train")) tellChosen(context);
  for (const [index, step] of steps.entries()) {
    // A run that trains later works with the untrained model first, also when it is resumed after the training.
    const model = steps.indexOf("train", index + 1) >= 0 ? BASE_MODEL : currentModel(context);
    left.push(await doStep(context, step, model));
  }
  const evaluations = new Map(left.flatMap((step) => [...(step.evaluations ?? [])]));
  const summary = summarise({
    evaluations,
    train: left.findLast(({ trained }) => trained !== undefined)?.trained ?? null,
    throughputs: left.flatMap(({ throughputs = [] }) => throughputs),
    written: left.flatMap(({ written = [] }) => written),
  });
  if (summary !== null) context.events.emit(summary);
  return {
    runDir: context.runDir.path,
    metrics: metricsOf(evaluations),
    values: { ...left.flatMap(({ evaluations: own = [] }) => [...own]).at(-1)?.[1].values },
    checkpoint: currentModel(context).checkpoint ?? null,
    files: Object.assign({}, ...left.map(({ files }) => files)),
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
