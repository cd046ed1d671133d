/** Checks that the files an experiment names exist, before any process starts. */
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { EMBEDDED } from "./cross-checks.js";
import type { Experiment } from "./define.js";
import { configError, type Problem } from "./explain.js";
import { type SourceConfig, stepNames } from "./schema.js";

/** A section of an experiment that a verb works with. */
export type Section = (typeof stepNames)[number];

/**
 * Checks that every file and folder named by these sections is there.
 *
 * @param sections what is about to run; default: all that the experiment has
 * @throws CONFIG naming each missing file as written and as resolved
 */
export function checkPaths(experiment: Experiment, sections: readonly Section[] = stepNames): void {
  const { config, baseDir } = experiment;
  const problems: Problem[] = [];
  const { checkpoint } = config.model;
  if (isFolderName(checkpoint) && !existsSync(resolve(baseDir, checkpoint))) {
    problems.push({ path: ["model", "checkpoint"], message: missing(checkpoint, resolve(baseDir, checkpoint)) });
  }
  config.model.plugins.forEach((plugin, index) => {
    const message = pluginProblem(plugin, resolve(baseDir, plugin));
    if (message !== null) problems.push({ path: ["model", "plugins", index], message });
  });
  for (const section of stepNames) {
    if (!sections.includes(section)) continue;
    for (const [path, source] of sourcesOf(experiment, section)) problems.push(...checkSource(source, path, baseDir));
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

function sourcesOf({ config }: Experiment, section: Section): [path: string, source: SourceConfig][] {
  if (section !== "train") {
    const source = config[section]?.data;
    return source === undefined ? [] : [[`${section}.data`, source]];
  }
  const data = config.train?.data;
  if (data === undefined) return [];
  if (data.kind === "multiLevel") return data.sources.map((source, index) => [`train.data.sources.${index}`, source]);
  const positives: [string, SourceConfig] = ["train.data.positives", data.positives];
  return data.negatives === undefined ? [positives] : [positives, ["train.data.negatives", data.negatives]];
}

function checkSource(source: SourceConfig, path: string, baseDir: string): Problem[] {
  const { corpus, queries } = source;
  const found: Problem[] = [];
  const check = (name: string, written: string, file = resolve(baseDir, written)): void => {
    if (!existsSync(file)) found.push({ path: [path, name], message: missing(written, file) });
  };
  // What comes with Quarry is made when it is needed; files that take the place of its own are the user's.
  if (!corpus.startsWith(EMBEDDED)) check("corpus", corpus, corpusFile(resolve(baseDir, corpus)));
  if (queries !== undefined) check("queries", queries);
  const qrels = source.qrels === undefined ? [] : [source.qrels].flat();
  for (const file of qrels) check("qrels", file);
  return found;
}

/** A folder stands for the corpus in it, plain or compressed, as the data plane reads it. */
function corpusFile(path: string): string {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return path;
  const file = join(path, "corpus.jsonl");
  return !existsSync(file) && existsSync(`${file}.gz`) ? `${file}.gz` : file;
}

function pluginProblem(written: string, file: string): string | null {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found === undefined) return missing(written, file);
  return found.isFile() && file.endsWith(".py") ? null : `${JSON.stringify(written)} is not a Python file (.py)`;
}

function missing(written: string, resolved: string): string {
  return `there is no ${JSON.stringify(written)} (looked for ${resolved})`;
}
