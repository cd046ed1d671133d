/** One step of a run: done once, recorded in the journal, never done again by the same command. */
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { PreparedSource } from "../data/types.js";
import { QuarryError } from "../errors.js";
import { BASE_NAME, RUN_NAME } from "../experiment/mine-checks.js";
import type { JournalEntry } from "../rundir/journal.js";
import type { RunContext } from "./context.js";
import type { EvaluateResult } from "./evaluation-result.js";
import { changedModels, type LocalModels, localModels, localPlugins } from "./local-models.js";
import type { StepResults, Throughput } from "./summary.js";
import type { TrainResult } from "./train.js";

/** Which weights a step works with: the experiment's own, or a checkpoint trained in this run folder. */
export interface ModelChoice {
  /** `base`, or the checkpoint's folder name; part of the step's folder and of its name in metrics.json. */
  readonly label: string;
  /** Folder of the checkpoint; undefined for the experiment's own model. */
  readonly checkpoint: string | undefined;
}

/** What users know a model by. */
export function modelName({ label }: ModelChoice): string {
  if (label === GIVEN_RUN.label) return "the given run";
  return label === BASE_MODEL.label ? "model as it is" : label;
}

/** The experiment's model as it is, before any training. */
export const BASE_MODEL: ModelChoice = { label: BASE_NAME, checkpoint: undefined };

/** Stands for the model where a run from elsewhere is evaluated. */
export const GIVEN_RUN: ModelChoice = { label: RUN_NAME, checkpoint: undefined };

/** The model that training in this run folder ended with, or the experiment's own. */
export function currentModel(context: RunContext): ModelChoice {
  const trained = findDone(context, "train")?.result as { readonly checkpoint: string } | undefined;
  if (trained === undefined) return BASE_MODEL;
  return { label: basename(trained.checkpoint), checkpoint: context.runDir.file(trained.checkpoint) };
}

/** A finished step's newest entry in the journal. */
export function findDone(context: RunContext, step: string): JournalEntry | undefined {
  return context.runDir.journal.entries.findLast((found) => found.type === "stepDone" && found.step === step);
}

/** What a step does, and what it leaves. */
export interface StepWork<T> {
  /** Its result must be plain JSON; it is durable before the step counts as done. */
  readonly work: () => Promise<T>;
  /** Files that stand for a result, relative to the run folder; without them the step is not done. */
  readonly files: (result: T) => readonly string[] | Promise<readonly string[]>;
}

/** What a step leaves to the run that did it. */
export interface StepLeft {
  /** Whole paths by what they are: see RunResult.files. */
  readonly files?: Readonly<Record<string, string>>;
  /** Of every search, and of encoding passages. */
  readonly throughputs?: readonly Throughput[];
  /** For the closing table: what was written, and how much of it there is. */
  readonly written?: StepResults["written"];
  /** By the name of what was evaluated. */
  readonly evaluations?: Iterable<readonly [label: string, result: EvaluateResult]>;
  readonly trained?: TrainResult;
}

/**
 * Does a step unless the journal says that it is done, with the same data, models and plugins, and its files are there.
 *
 * @param data fingerprint of everything that the step reads
 */
export async function once<T>(
  context: RunContext,
  step: string,
  data: string,
  { work, files }: StepWork<T>,
): Promise<T> {
  const entry = findDone(context, step);
  const models = await localModels(context, step);
  const plugins = localPlugins(context, step);
  const changed = [
    ...changedModels(entry?.models as LocalModels | undefined, models).map((name) => `another model in ${name}`),
    ...changedModels(entry?.plugins as LocalModels | undefined, plugins).map((name) => `other code in ${name}`),
  ];
  const lost = await lostFiles(context, entry, files);
  if (entry?.data === data && changed.length === 0 && lost.length === 0) {
    await tellAltered(context, entry);
    context.events.emit({ type: "log", source: "quarry", level: "info", text: `${step}: done before, nothing to do` });
    return entry.result as T;
  }
  if (entry !== undefined) {
    const other = entry.data === data ? changed : ["other data or options", ...changed];
    const seen = other.length > 0 ? `was done with ${other.join(" and ")}` : `has lost ${listed(lost)}`;
    const message = `${step} ${seen}; it is done again, and its files are replaced.`;
    context.events.emit({ type: "warning", message, hint: null });
  }
  context.checkStop();
  const result = await work();
  const expected = await files(result);
  const sizes = await sizesOf(context, expected);
  const missing = expected.filter((path) => !(path in sizes));
  if (missing.length > 0) {
    throw new QuarryError("INTEGRITY", `${step} came to its end, but ${listed(missing)} is not there`, {
      hint: "Did somebody remove it meanwhile? The same command does the step again.",
    });
  }
  await context.runDir.journal.append({ type: "stepDone", step, data, models, plugins, result, files: sizes });
  return result;
}

const MOST_LISTED = 3;

/** Bytes by path; null for a folder, or where they are not known. */
type Sizes = Readonly<Record<string, number | null>>;

/** Files of a finished step that are gone, e.g. from a folder that was copied in part. */
export async function lostFiles<T>(
  context: RunContext,
  entry: JournalEntry | undefined,
  files: StepWork<T>["files"],
): Promise<string[]> {
  if (entry === undefined) return [];
  // Entries of earlier versions have no sizes, or none where nothing was there.
  const sized = Object.keys((entry.files ?? {}) as Sizes);
  const expected = sized.length > 0 ? sized : await files(entry.result as T);
  const found = await sizesOf(context, expected);
  return expected.filter((path) => !(path in found));
}

/** A file of another size was cut short in a copy, or edited by somebody whose work must not be written over. */
async function tellAltered(context: RunContext, { step, files }: JournalEntry): Promise<void> {
  const expected = Object.entries((files ?? {}) as Sizes);
  const found = await sizesOf(
    context,
    expected.map(([path]) => path),
  );
  const altered = expected.filter(([path, bytes]) => bytes !== (found[path] ?? null)).map(([path]) => path);
  if (altered.length === 0) return;
  const message = `${listed(altered)}: of another size than when ${String(step)} was done; taken as it is.`;
  context.events.emit({ type: "warning", message, hint: "Delete what is damaged, and the step is done again." });
}

/** The first of some files, for a message. */
export function listed(files: readonly string[]): string {
  const more = files.length - MOST_LISTED;
  return files.slice(0, MOST_LISTED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** Those that are there. */
async function sizesOf({ runDir }: RunContext, paths: readonly string[]): Promise<Sizes> {
  const sizes: Record<string, number | null> = {};
  for (const path of paths) {
    const found = await stat(runDir.file(path)).catch(() => null);
    if (found !== null) sizes[path] = found.isFile() ? found.size : null;
  }
  return sizes;
}

/** The judgements of a source whose verb cannot do without them. */
export function requireQrels(source: PreparedSource, option: string): NonNullable<PreparedSource["qrels"]> {
  if (source.qrels === null || source.qrels.queryRows.length === 0) {
    throw new QuarryError("DATA", `${option}: no query has a judgement`, {
      hint: `Give ${option} a qrels file whose query ids stand in the queries file, and look at minScore and maxScore.`,
    });
  }
  return source.qrels;
}
