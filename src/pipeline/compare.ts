/** Scores and compares runs that lie on the disk, whoever made them; no experiment, no run folder. */
import { readFile } from "node:fs/promises";
import { QuarryError, stopIfAborted } from "../errors.js";
import { shown } from "../experiment/explain.js";
import { comparableMeasures, measuresOf } from "../experiment/measures.js";
import { findPython, type PythonEnvironment } from "../python/environment.js";
import { type Measured, measure } from "./measure.js";
import { commonQrels, existing, findRun, type RunFiles, trecQrels } from "./run-files.js";
import { type CommandContext, inTemporaryFolder, runtimeAnswer } from "./runtime-command.js";
import { holdsSuite } from "./suite-files.js";
import type { CompareOptions, Comparison, MeasureOptions, ToldOptions } from "./types.js";

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
  const context = commandContext(options);
  const { relevanceLevel = 1, missing, depth, intervalsSeed } = options;
  return inTemporaryFolder(async (folder) => {
    const files = { run: found.run, qrels: await trecQrels(qrels ?? "", folder, context.signal) };
    return measure(context, files, { measures, relevanceLevel, missing, depth, intervalsSeed });
  });
}

/** See `compareRuns` in pipeline/index.ts. */
export async function compareRuns(runs: readonly string[], options: CompareOptions = {}): Promise<Comparison> {
  checkCompared(runs, options);
  const { set } = options;
  // A misspelt suite beside others is not there; it does not make them ambiguous.
  for (const run of runs) existing(run);
  const found = runs.map((run) => findRun(run, set));
  if (set !== undefined && !runs.some(holdsSuite)) {
    throw new QuarryError("CONFIG", `set: none of the runs has data sets to choose ${set} from.`);
  }
  const measures = measuresOf(options.measures ?? usualMeasures(await heldMeasures(found)));
  const qrels = commonQrels(found, options.qrels, "Name the judgements that count with --qrels <file>.");
  const context = commandContext(options);
  return inTemporaryFolder(async (folder) => {
    const named = [...nameArgs(runs), "--runs", ...found.map(({ run }) => run)];
    if (qrels !== null) named.push("--qrels", await trecQrels(qrels, folder, context.signal));
    return runtimeAnswer(
      context,
      "compare",
      [...named, ...testArgs(options), "--measures", ...measures],
      "the runs could not be compared",
    );
  });
}

/** Refuses what no comparison can be made of. */
export function checkCompared(runs: readonly string[], options: CompareOptions): void {
  if (runs.length < 2) throw new QuarryError("CONFIG", "a comparison needs two runs or more.");
  checkOptions(options, { relevanceLevel: 1, seed: 0, samples: 1, top: 0 });
}

/** How the runtime is told the names of runs. The same one twice is a comparison with itself; its lines still need names of their own. */
export function nameArgs(names: readonly string[]): string[] {
  const distinct = names.map((name, at) => (names.indexOf(name) === at ? name : `${name} (${at + 1})`));
  return ["--names", JSON.stringify(distinct)];
}

/** How the runtime is told what to test. */
export function testArgs(options: CompareOptions): string[] {
  const { relevanceLevel, missing, seed = 42, samples, top = 5, allPairs, onProgress } = options;
  const args = ["--seed", String(seed), "--top", String(top)];
  if (relevanceLevel !== undefined) args.push("--level", String(relevanceLevel));
  if (missing !== undefined) args.push("--missing", missing);
  if (samples !== undefined) args.push("--samples", String(samples));
  if (allPairs) args.push("--all-pairs");
  if (onProgress !== undefined) args.push("--progress");
  return args;
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

/** The measures that files of values have in common; null where there are none, since run files are scored by any. */
export async function heldMeasures(runs: readonly RunFiles[]): Promise<readonly string[] | null> {
  const files = runs.filter(({ run }) => run.endsWith(".json"));
  if (files.length === 0) return null;
  const held = await Promise.all(files.map(async ({ run }) => comparableMeasures(await namesIn(run))));
  return (held[0] ?? []).filter((measure) => held.every((names) => names.includes(measure)));
}

/** What nobody chose: files of values hold what somebody asked for, so where they lack a default measure, all they hold. */
export function usualMeasures(held: readonly string[] | null): readonly string[] {
  return held === null || held.length === 0 || DEFAULT_MEASURES.every((measure) => held.includes(measure))
    ? DEFAULT_MEASURES
    : held;
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

/** Surroundings of a command without an experiment: Python is looked for when it is needed. */
export function commandContext({ signal = new AbortController().signal, onProgress }: ToldOptions): CommandContext {
  let python: Promise<PythonEnvironment> | null = null;
  return {
    signal,
    ...(onProgress === undefined ? {} : { onProgress }),
    python: () => {
      python ??= findPython({ signal });
      return python;
    },
    checkStop: () => {
      stopIfAborted(signal);
    },
  };
}
