/** Files that training reads and mining writes before it, by the same command: they need not be there when it starts. */
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Experiment } from "../experiment/define.js";
import { BASE_NAME, retrieverName } from "../experiment/mine-checks.js";
import type { ExperimentConfig, SourceConfig, stepNames, TrainingDataConfig } from "../experiment/schema.js";
import { pathsOf, searchSources } from "../experiment/sources.js";
import { formatsOf } from "./mining/output/formats.js";
import { tableOf } from "./mining/output/parquet.js";

/** What these steps will have written before a later one trains, and what is not there yet: absolute paths. */
export function comingFiles(
  { config }: Experiment,
  steps: readonly (typeof stepNames)[number][],
  runDir: string,
): ReadonlySet<string> {
  const { mine } = config;
  // Before the training, mining works with the model as it is.
  const isMinedFirst = steps.includes("mine") && steps.indexOf("train", steps.indexOf("mine")) !== -1;
  if (mine === undefined || !isMinedFirst) return new Set();
  const names = [...(mine.includeModel ? [BASE_NAME] : []), ...mine.retrievers.map(retrieverName)];
  const files = formatsOf(mine, config.name, names).flatMap((format) => {
    const table = mine.parquet ? tableOf(format) : null;
    return table === null ? [format.file] : [format.file, table];
  });
  return new Set(files.map((file) => join(runDir, `mine-${BASE_NAME}`, file)).filter((path) => !existsSync(path)));
}

/** The training data without what is still to come, for a look at the rest; null where nothing else is there. */
export function withoutComing(
  data: TrainingDataConfig,
  baseDir: string,
  coming: ReadonlySet<string>,
): TrainingDataConfig | null {
  if (coming.size === 0) return data;
  const isHere = ({ corpus, queries, qrels, querySubset }: SourceConfig): boolean =>
    ![corpus, queries, qrels, querySubset].flatMap(pathsOf).some((path) => coming.has(resolve(baseDir, path)));
  const areHere = (given: Parameters<typeof searchSources>[0] | undefined): boolean =>
    given === undefined || searchSources(given, "").every(([, source]) => isHere(source));
  const rest = (given: TrainingDataConfig): TrainingDataConfig | null => {
    if (given.kind === "mix") {
      const parts = given.parts.flatMap((part) => {
        const own = rest(part.data);
        return own === null ? [] : [{ ...part, data: own as typeof part.data }];
      });
      return parts.length === 0 ? null : { ...given, parts };
    }
    if (given.kind === "multiLevel") {
      const sources = given.sources.filter(isHere);
      return sources.length === 0 ? null : { ...given, sources };
    }
    if (!areHere(given.positives)) return null;
    return areHere(given.negatives) ? given : { ...given, negatives: undefined, negativesPerQuery: 0 };
  };
  return rest(data);
}

/** Where an experiment's results lie, as an absolute path. */
export function runDirOf({ runDir, name }: Pick<ExperimentConfig, "runDir" | "name">): string {
  return resolve(runDir ?? `runs/${name}`);
}
