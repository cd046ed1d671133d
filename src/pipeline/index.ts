/** The verbs, each loaded when it is called: a script that only looks at its data does not wait for sockets and processes. */
import { QuarryError } from "../errors.js";
import { type Experiment, requireExperiment } from "../experiment/define.js";
import { shown } from "../experiment/explain.js";
import type { ExperimentInput } from "../experiment/options.generated.js";
import { EventStream } from "../report/events.js";
import type { DoctorOptions, DoctorReport } from "./doctor/types.js";
import type { Encoder, OpenEncoderOptions } from "./encoder.js";
import type { ExportedModel, ExportOptions } from "./export-model.js";
import type { Measured } from "./measure.js";
import type { ReplayedStep, ReplayOptions } from "./replay.js";
import type { ReportOptions, WrittenReport } from "./report/report.js";
import type { Tracked, TrackOptions } from "./report/track.js";
import type {
  CompareOptions,
  CompareSuitesOptions,
  Comparison,
  MeasureOptions,
  RunResult,
  SuiteComparison,
  Verb,
  VerbName,
  VerbOptions,
} from "./types.js";

function verb(name: VerbName): Verb {
  return async (experiment: Experiment, options: VerbOptions = {}): Promise<RunResult> => {
    requireExperiment(experiment);
    requireInstance(options.events, EventStream, "events");
    requireInstance(options.signal, AbortSignal, "signal");
    const verbs = await import("./run.js");
    return verbs[name](experiment, options);
  };
}

/** Refuses an option of a verb with which a run would fail only when it makes use of it. */
function requireInstance(given: unknown, wanted: typeof EventStream | typeof AbortSignal, name: string): void {
  if (given === undefined || given instanceof wanted) return;
  throw new QuarryError("CONFIG", `options.${name}: expected an ${wanted.name} or nothing, saw ${shown(given)}`, {
    hint: "evaluate(experiment, { events: new EventStream(), signal: new AbortController().signal })",
  });
}

/** Does everything the experiment asks for, in the order of its `steps`. */
export const run: Verb = verb("run");
/** Trains; goes on from the newest complete checkpoint of the run folder. */
export const train: Verb = verb("train");
/** Evaluates the checkpoint that was trained in the run folder, or else the experiment's own model. */
export const evaluate: Verb = verb("evaluate");
/** Mines hard negatives with the checkpoint that was trained in the run folder, or else with the experiment's own model. */
export const mine: Verb = verb("mine");
/** Encodes with the checkpoint that was trained in the run folder, or else with the experiment's own model. */
export const encode: Verb = verb("encode");
/** Searches with the checkpoint that was trained in the run folder, or else with the experiment's own model. */
export const search: Verb = verb("search");

/**
 * Loads a model in workers that stay: for texts that a script has at hand. Whole collections belong into an experiment's
 * section `encode`, which keeps vectors in the store and goes on after a kill.
 *
 * @param model what biEncoder(…) gives; the folder of a checkpoint or of an exported model serves as well as a model id
 * @throws QuarryError CONFIG, ENVIRONMENT or WORKER when the model cannot be loaded.
 * @example
 * await using encoder = await openEncoder(biEncoder("sentence-transformers/all-MiniLM-L6-v2"));
 * const { vectors, dimension } = await encoder.encode(["what is dense retrieval?"], { side: "query" });
 */
export async function openEncoder(model: ExperimentInput["model"], options?: OpenEncoderOptions): Promise<Encoder> {
  const encoders = await import("./encoder.js");
  return encoders.openEncoder(model, options);
}

/**
 * Scores a TREC run, whoever made it.
 *
 * @param run a run file, plain or packed, or the folder of an evaluation
 * @throws QuarryError CONFIG or DATA with file and line.
 * @example
 * const { mean, queries } = await measureRun("bm25.run.gz", { qrels: "qrels/test.tsv", measures: ["nDCG@10", "P(rel=2)@5"] });
 */
export async function measureRun(run: string, options?: MeasureOptions): Promise<Measured> {
  const runs = await import("./compare.js");
  return runs.measureRun(run, options);
}

/**
 * Compares runs query by query: paired tests, intervals, wins and losses. The first one is the baseline.
 *
 * @param runs run files, values of each query (per-query.json), or folders of evaluations
 * @throws QuarryError CONFIG or DATA with file and line.
 * @example
 * const { comparisons } = await compareRuns(["runs/a/evaluate-base", "runs/b/evaluate-base"], { measures: ["nDCG@10"] });
 */
export async function compareRuns(runs: readonly string[], options?: CompareOptions): Promise<Comparison> {
  const comparing = await import("./compare.js");
  return comparing.compareRuns(runs, options);
}

/**
 * Compares evaluations of suites: each data set that all runs have as `compareRuns` does, and the average over them,
 * in which each set counts the same. The first run is the baseline.
 *
 * @param runs folders of suites, e.g. `runs/a/evaluate-base`, or folders that hold one
 * @throws QuarryError CONFIG, also where no data set is common to all; DATA with file and line.
 * @example
 * const { averages, sets } = await compareSuites(["runs/a", "runs/b"], { measures: ["nDCG@10"] });
 */
export async function compareSuites(runs: readonly string[], options?: CompareSuitesOptions): Promise<SuiteComparison> {
  const comparing = await import("./compare-suites.js");
  return comparing.compareSuites(runs, options);
}

/** Whether `compareSuites` takes a folder: it is that of an evaluation of several data sets, or holds such. */
export async function holdsSuite(folder: string): Promise<boolean> {
  const suites = await import("./suite-files.js");
  return suites.holdsSuite(folder);
}

/**
 * Writes what run folders recorded as one HTML page: measures, curves, queries that changed, warnings, times, and the
 * record behind them. Several runs are shown beside each other. Folders are only read; runs may be at work in them.
 *
 * @throws QuarryError CONFIG for a folder that holds no run; INTEGRITY when its files are damaged; ENVIRONMENT when the
 *   page cannot be written.
 * @example
 * const { path } = await writeReport(["runs/a", "runs/b"], { out: "a-and-b.html" });
 */
export async function writeReport(
  runDirs: string | readonly string[],
  options?: ReportOptions,
): Promise<WrittenReport> {
  const report = await import("./report/report.js");
  return report.writeReport(runDirs, options);
}

/**
 * Hands what a run recorded to an experiment tracker: each step of training, evaluations in it, and at the end the
 * measures. A run that is at work is followed to its end; it knows nothing of it. A later call goes on with the run in
 * TensorBoard, W&B and MLflow.
 *
 * @throws QuarryError CONFIG for a folder that holds no run or a tracker that nobody knows; ENVIRONMENT when the tracker
 *   is not installed or does not start; INTERRUPTED.
 * @example
 * await trackRun("runs/scifact", { with: "tensorboard", out: "logs" });
 */
export async function trackRun(runDir: string, options: TrackOptions): Promise<Tracked> {
  const tracking = await import("./report/track.js");
  return tracking.trackRun(runDir, options);
}

/**
 * Writes a model for others: safetensors in the layouts of transformers (or peft) and sentence-transformers, with a card
 * that tells measures, data and the experiment.
 *
 * @param target a run folder (its trained checkpoint), a checkpoint's folder, or a model id on the hub
 * @throws QuarryError CONFIG when the folder holds something already; ENVIRONMENT when the hub cannot be reached.
 * @example
 * await exportModel("runs/scifact", { out: "scifact-minilm", merge: true, dtype: "bfloat16", push: "me/scifact-minilm" });
 */
export async function exportModel(target: string, options: ExportOptions): Promise<ExportedModel> {
  const { exportTrained } = await import("./export-model.js");
  return exportTrained(target, options);
}

/**
 * Rebuilds the batch of a training step from what a run folder recorded, and on request its loss; reads the folder only.
 *
 * @throws QuarryError CONFIG for a folder without training or no such step; INTEGRITY when the data is not what the run
 *   was trained on; DATA or ENVIRONMENT.
 * @example
 * const { microSteps, rows } = await replayStep("runs/scifact", { step: 120 });
 */
export async function replayStep(runDir: string, options: ReplayOptions): Promise<ReplayedStep> {
  const replay = await import("./replay.js");
  return replay.replayStep(runDir, options);
}

/**
 * Looks at an experiment before any GPU is spent on it: data, machine, tokens and vectors, the loss of the first step,
 * and what training and encoding will cost in memory, hours and disk. Makes no run folder.
 *
 * @throws QuarryError CONFIG, DATA or ENVIRONMENT where nothing can be looked at; what is wrong with the experiment
 *   itself is told in the report.
 * @example
 * const { isFit, checks } = await doctor(await loadExperiment("experiment.ts"), { probeSeconds: 0 });
 */
export async function doctor(experiment: Experiment, options?: DoctorOptions): Promise<DoctorReport> {
  requireExperiment(experiment);
  const examination = await import("./doctor/doctor.js");
  return examination.doctor(experiment, options);
}
