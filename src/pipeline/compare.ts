/** Scores and compares runs that lie on the disk, whoever made them; no experiment, no run folder. */
import { readFile } from "node:fs/promises";
import { QuarryError, stopIfAborted } from "../errors.js";
import { shown } from "../experiment/explain.js";
import { comparableMeasures, measuresOf } from "../experiment/measures.js";
import { findPython, type PythonEnvironment } from "../python/environment.js";
import { type Measured, measure } from "./measure.js";
import { commonQrels, findRun, type RunFiles, trecQrels } from "./run-files.js";
import { type CommandContext, inTemporaryFolder, runtimeAnswer } from "./runtime-command.js";
import type { CompareOptions, Comparison, MeasureOptions } from "./types.js";

const DEFAULT_MEASURES = ["nDCG@10", "RR@10", "R@100"];

/** See `measureRun` in pipeline/index.ts. */
export async function measureRun(run: string, options: MeasureOptions = {}): Promise<Measured> {
  checkOptions(options, { relevanceLevel: 1, depth: 1, intervalsSeed: 0 });
  const measures = measuresOf(options.measures ?? DEFAULT_MEASURES);
  const found = findRun(run);
  if (found.run.endsWith(".json")) {
    throw new QuarryError("CONFIG", `${run}: holds values of each query, but no run file.`);
  }
  const qrels = commonQrels([found], options.qrels, `Name them behind the run: quarry measure ${run} <qrels>`);
  const context = commandContext(options.signal);
  const { relevanceLevel = 1, missing, depth, intervalsSeed } = options;
  return inTemporaryFolder(async (folder) => {
    const files = { run: found.run, qrels: await trecQrels(qrels ?? "", folder, context.signal) };
    return measure(context, files, { measures, relevanceLevel, missing, depth, intervalsSeed });
  });
}

/** See `compareRuns` in pipeline/index.ts. */
export async function compareRuns(runs: readonly string[], options: CompareOptions = {}): Promise<Comparison> {
  if (runs.length < 2) throw new QuarryError("CONFIG", "a comparison needs two runs or more.");
  checkOptions(options, { relevanceLevel: 1, seed: 0, samples: 1, top: 0 });
  const found = runs.map(findRun);
  const measures = measuresOf(options.measures ?? (await measuresIn(found)));
  const qrels = commonQrels(found, options.qrels, "Name them with --qrels <file>.");
  const context = commandContext(options.signal);
  const { relevanceLevel, missing, seed = 42, samples, top = 5, allPairs = false } = options;
  const args = ["--seed", String(seed), "--top", String(top)];
  if (relevanceLevel !== undefined) args.push("--level", String(relevanceLevel));
  if (missing !== undefined) args.push("--missing", missing);
  if (samples !== undefined) args.push("--samples", String(samples));
  if (allPairs) args.push("--all-pairs");
  return inTemporaryFolder(async (folder) => {
    if (qrels !== null) args.push("--qrels", await trecQrels(qrels, folder, context.signal));
    const named = ["--names", JSON.stringify(distinct(runs)), "--runs", ...found.map(({ run }) => run)];
    return runtimeAnswer(
      context,
      "compare",
      [...named, ...args, "--measures", ...measures],
      "the runs could not be compared",
    );
  });
}

/** @param least the smallest that each number may be */
function checkOptions<Options extends Pick<MeasureOptions, "missing">>(
  options: Options,
  least: { readonly [Name in keyof Options]?: number },
): void {
  for (const [name, from] of Object.entries(least) as [keyof Options, number][]) {
    const value = options[name];
    if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= from)) continue;
    throw new QuarryError("CONFIG", `${String(name)}: expected a whole number from ${from} on, saw ${shown(value)}`);
  }
  const { missing = "zero" } = options;
  if (missing !== "zero" && missing !== "skip")
    throw new QuarryError("CONFIG", `missing: expected "zero" or "skip", saw ${shown(missing)}`);
}

/** Files of values hold what somebody asked for: where they lack a default measure, all that they have in common. */
async function measuresIn(runs: readonly RunFiles[]): Promise<readonly string[]> {
  const files = runs.filter(({ run }) => run.endsWith(".json"));
  const held = await Promise.all(files.map(async ({ run }) => comparableMeasures(await namesIn(run))));
  const common = (held[0] ?? []).filter((measure) => held.every((names) => names.includes(measure)));
  return common.length === 0 || DEFAULT_MEASURES.every((measure) => common.includes(measure))
    ? DEFAULT_MEASURES
    : common;
}

/** What cannot be read, the runtime tells with its place. */
async function namesIn(path: string): Promise<string[]> {
  try {
    const { mean } = JSON.parse(await readFile(path, "utf8")) as Partial<Measured>;
    return Object.keys(mean ?? {});
  } catch {
    return [];
  }
}

/** The same file twice is a comparison with itself; its lines still need names of their own. */
function distinct(names: readonly string[]): string[] {
  return names.map((name, at) => (names.indexOf(name) === at ? name : `${name} (${at + 1})`));
}

/** Surroundings of a command without an experiment: Python is looked for when it is needed. */
export function commandContext(signal: AbortSignal = new AbortController().signal): CommandContext {
  let python: Promise<PythonEnvironment> | null = null;
  return {
    signal,
    python: () => {
      python ??= findPython({ signal });
      return python;
    },
    checkStop: () => {
      stopIfAborted(signal);
    },
  };
}
