/** Checks that the files an experiment names exist, before any process starts. */
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { EMBEDDED } from "./cross-checks.js";
import type { Experiment } from "./define.js";
import { configError, type Problem } from "./explain.js";
import { modelsOf } from "./mine-checks.js";
import { refreshTargets } from "./refresh.js";
import {
  type ExperimentConfig,
  type FilesConfig,
  type MineConfig,
  type SourceConfig,
  stepNames,
  type TrainConfig,
} from "./schema.js";
import { evaluatedSets, type PlacedSource, pathsOf, searchSources, trainingSources } from "./sources.js";

/** Prefix of files in a data set on the hub. */
export const HUB = "hf://";

/** A section of an experiment that a verb works with. */
export type Section = (typeof stepNames)[number];

/**
 * Checks that every file and folder named by these sections is there.
 *
 * @param sections what is about to run; default: all that the experiment has
 * @param coming absolute paths of files that one of them writes before another reads them
 * @throws CONFIG naming each missing file as written and as resolved
 */
export function checkPaths(
  experiment: Experiment,
  sections: readonly Section[] = stepNames,
  coming: ReadonlySet<string> = new Set(),
): void {
  const { config, baseDir } = experiment;
  const problems: Problem[] = [];
  const checkCheckpoint = (path: string[], checkpoint: string, option = "checkpoint"): void => {
    const message = isFolderName(checkpoint) ? fileProblem(checkpoint, resolve(baseDir, checkpoint)) : null;
    if (message !== null) problems.push({ path: [...path, option], message });
  };
  checkCheckpoint(["model"], config.model.checkpoint);
  if (config.model.queryCheckpoint !== undefined)
    checkCheckpoint(["model"], config.model.queryCheckpoint, "queryCheckpoint");
  if (config.rerank !== undefined && sections.includes("evaluate"))
    checkCheckpoint(["rerank"], config.rerank.checkpoint);
  const checkPlugins = (path: string[], plugins: readonly string[]): void => {
    for (const [index, plugin] of plugins.entries()) {
      const message = pluginProblem(plugin, resolve(baseDir, plugin));
      if (message !== null) problems.push({ path: [...path, "plugins", index], message });
    }
  };
  checkPlugins(["model"], config.model.plugins);
  const others = [
    ...(config.mine !== undefined && sections.includes("mine") ? modelsOf(config.mine) : []),
    ...(config.train?.refresh !== undefined && sections.includes("train")
      ? modelsOf(config.train.refresh.mine, "train.refresh.mine")
      : []),
  ];
  for (const [path, model] of others) {
    checkCheckpoint([path], model.checkpoint);
    if (model.kind === "biEncoder") checkPlugins([path], model.plugins);
  }
  for (const section of stepNames) {
    if (!sections.includes(section)) continue;
    for (const [path, source] of dataOf(config, section)) problems.push(...checkSource(source, path, baseDir, coming));
    for (const [path, , run] of runsOf(config, section)) problems.push(...checkFiles(run, [path], baseDir, coming));
  }
  if (problems.length > 0) throw configError(problems, "the experiment", `Relative paths start in ${baseDir}.`);
}

/**
 * The checkpoint as transformers takes it: a folder beside the script as an absolute path, a model id as it is.
 */
export function resolveCheckpoint(checkpoint: string, baseDir: string): string {
  if (checkpoint.startsWith(EMBEDDED)) return checkpoint;
  const path = resolve(baseDir, checkpoint);
  return isFolderName(checkpoint) || existsSync(path) ? path : checkpoint;
}

/** A model id has the form owner/name, so what starts like a path is one. */
function isFolderName(checkpoint: string): boolean {
  return /^(\.{0,2}\/|\.{1,2}$)/.test(checkpoint);
}

/** The sources of a section, each with the path of its option; a run file as the judgements of what it ranks. */
export function sourcesOf({ config }: Experiment, section: Section): PlacedSource[] {
  const runs = runsOf(config, section).map(([path, data, run]): PlacedSource => [path, { ...data, qrels: run }]);
  return [...dataOf(config, section), ...runs];
}

function dataOf(config: ExperimentConfig, section: Section): PlacedSource[] {
  if (section === "train") return config.train === undefined ? [] : trainSources(config.train);
  const data = config[section]?.data;
  return data === undefined ? [] : searchSources(data, `${section}.data`);
}

/** What is trained on, what it is measured on, and what refreshed negatives are mined from. */
function trainSources(train: TrainConfig): PlacedSource[] {
  const { data } = train.refresh?.mine ?? {};
  const held = train.evaluate;
  const heldOut = held === undefined ? [] : searchSources(held.data, "train.evaluate.data");
  const own = data === undefined ? [] : searchSources(data, "train.refresh.mine.data");
  return [...trainingSources(train.data, "train.data"), ...heldOut, ...own];
}

/** Somebody else's ranking: the path of its option, the source whose passages it ranks, its files. */
export type PlacedRun = readonly [path: string, data: SourceConfig, run: FilesConfig];

/** The run files that a section's retrievers are, or that it measures. */
export function runsOf(
  { evaluate, mine, train }: Partial<Pick<ExperimentConfig, "evaluate" | "mine" | "train">>,
  section: Section,
): PlacedRun[] {
  if (section === "evaluate") {
    const sets = evaluate === undefined ? [] : evaluatedSets(evaluate);
    return sets.flatMap(({ run, data }): PlacedRun[] =>
      run === null || data.kind !== "source" ? [] : [[run[0], data, run[1]]],
    );
  }
  if (section === "mine") return mine === undefined ? [] : runsIn(mine, section);
  if (section !== "train" || train === undefined) return [];
  return refreshTargets(train).flatMap((target) => runsIn(target.mine, "train.refresh.mine"));
}

function runsIn({ data, retrievers }: MineConfig, base: string): PlacedRun[] {
  return retrievers.flatMap(({ run }, index): PlacedRun[] =>
    run === undefined || data.kind !== "source" ? [] : [[`${base}.retrievers.${index}.run`, data, run]],
  );
}

function checkSource(source: SourceConfig, path: string, baseDir: string, coming: ReadonlySet<string>): Problem[] {
  const names = ["corpus", "queries", "qrels", "querySubset"] as const;
  return names.flatMap((name) => checkFiles(source[name], [path, name], baseDir, coming));
}

function checkFiles(
  files: FilesConfig | undefined,
  path: string[],
  baseDir: string,
  coming: ReadonlySet<string>,
): Problem[] {
  return pathsOf(files).flatMap((written): Problem[] => {
    // What comes with Quarry or from the hub is made or fetched when it is needed.
    if (written.startsWith(EMBEDDED) || written.startsWith(HUB)) return [];
    const resolved = resolve(baseDir, written);
    const message = coming.has(resolved) ? null : fileProblem(written, resolved);
    return message === null ? [] : [{ path, message }];
  });
}

function pluginProblem(written: string, file: string): string | null {
  const problem = fileProblem(written, file);
  if (problem !== null) return problem;
  const isPython = statSync(file).isFile() && file.endsWith(".py");
  return isPython ? null : `${JSON.stringify(written)} is not a Python file (.py)`;
}

/** Why a file or folder cannot be used; null where it can. */
function fileProblem(written: string, resolved: string): string | null {
  try {
    accessSync(resolved, constants.R_OK);
    return null;
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code ?? "";
    if (code === "ENOENT" || code === "ENOTDIR")
      return `there is no ${JSON.stringify(written)} (looked for ${resolved})`;
    const reason = WHY_UNREADABLE[code] ?? code;
    return `${JSON.stringify(written)} cannot be read: ${reason} (looked for ${resolved})`;
  }
}

const WHY_UNREADABLE: Readonly<Record<string, string>> = {
  EACCES: "no permission for the file, or for a folder on the way",
  ELOOP: "its symbolic links lead in a circle",
};
