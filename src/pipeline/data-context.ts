/** What opening an experiment's data has to know, the same for a run and for a look without one. */
import { resolve } from "node:path";
import { dataFolder, defaultCacheDir } from "../data/index.js";
import type { DataContext } from "../data/types.js";
import type { Experiment } from "../experiment/define.js";
import { refreshedParts } from "../experiment/refresh.js";

/** Who stops the work, and who hears of it. */
interface Surroundings {
  readonly signal: AbortSignal;
  readonly onProgress?: DataContext["onProgress"];
  readonly onWarning?: DataContext["onWarning"];
}

/** The folder of everything that an experiment may use again. */
export function cacheDirOf({ baseDir, config }: Experiment): string {
  return resolve(baseDir, config.cacheDir ?? defaultCacheDir());
}

/** What its sources and views are opened with. */
export function dataContextOf(experiment: Experiment, { signal, onProgress, onWarning }: Surroundings): DataContext {
  const { baseDir, config } = experiment;
  return {
    baseDir,
    cacheDir: dataFolder(cacheDirOf(experiment)),
    seed: config.seed,
    validation: config.validation,
    refreshed: refreshedParts(config),
    signal,
    ...(onProgress === undefined ? {} : { onProgress }),
    ...(onWarning === undefined ? {} : { onWarning }),
  };
}
