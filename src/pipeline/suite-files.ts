/** What people name when they mean a suite: a folder that an evaluation of several data sets wrote, or one that holds it. */
import { statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { QuarryError } from "../errors.js";
import { evaluationsIn, existing, filesIn, judgedAmong, type RunFiles, setOf, severalIn } from "./run-files.js";

/** A run of each of several data sets. */
export interface SuiteFiles {
  /** As the user wrote it. */
  readonly name: string;
  readonly sets: ReadonlyMap<string, RunFiles>;
}

/** See `holdsSuite` in pipeline/index.ts. */
export function holdsSuite(name: string): boolean {
  return [...evaluationsOf(name).values()].some(({ isSuite }) => isSuite);
}

/**
 * Finds a suite's files.
 *
 * @throws QuarryError CONFIG when there is none, or several evaluations.
 */
export function findSuite(name: string): SuiteFiles {
  existing(name);
  const found = evaluationsOf(name);
  if (![...found.values()].some(({ isSuite }) => isSuite)) {
    throw new QuarryError("CONFIG", `${name}: holds no evaluation of several data sets.`, {
      hint: "Name the folder that the evaluation of a suite wrote, e.g. runs/<name>/evaluate-base; compareRuns takes others.",
    });
  }
  if (found.size > 1) throw severalIn(name, [...found.keys()].sort());
  const folders = [...found.values()].flatMap((each) => each.folders);
  return { name, sets: new Map(folders.map((folder) => [setOf(folder) as string, filesIn(name, folder)])) };
}

/** The evaluations in a folder, by their own folders; a suite's has one for each data set. */
function evaluationsOf(name: string): Map<string, { isSuite: boolean; folders: string[] }> {
  const path = resolve(name);
  const found = new Map<string, { isSuite: boolean; folders: string[] }>();
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return found;
  for (const folder of judgedAmong(evaluationsIn(path, 2))) {
    // The folder of one data set is a run like any other.
    const isSuite = folder !== path && setOf(folder) !== null;
    const own = isSuite ? dirname(folder) : folder;
    const { folders } = found.get(own) ?? { folders: [] };
    found.set(own, { isSuite, folders: [...folders, folder] });
  }
  return found;
}
