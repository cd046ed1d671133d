/** What of an experiment is data: every source with the option it stands at, and the sets made of sources. */
import type { SearchDataConfig, SourceConfig, TrainingDataConfig } from "../../experiment/schema.js";
import type { PreparedSource } from "../types.js";

/** The data of an experiment, its sources standing for files on this machine. */
export interface InspectedData {
  /** Every source and the path of its option, e.g. "train.data.positives". */
  readonly sources: readonly (readonly [path: string, source: SourceConfig])[];
  /** What is evaluated, mined, encoded, and measured or mined from while training; rankings that join in mining. */
  readonly searched: readonly InspectedSearch[];
  readonly train: InspectedTraining | null;
}

/** Data that a step searches or encodes. */
export interface InspectedSearch {
  readonly path: string;
  readonly data: SearchDataConfig;
  /** Throws what the step throws where it cannot work with the data, opened as it is. */
  readonly ask?: (source: PreparedSource) => unknown;
}

/** Whether a path is that of data with which something is measured, as a step or while training. */
export function isEvaluated(path: string): boolean {
  return /^(train\.)?evaluate\./.test(path) && !isRun(path);
}

/** Whether a path is that of somebody else's ranking, whose passages and queries are those of other data. */
export function isRun(path: string): boolean {
  return path.endsWith(".run");
}

/** Whether the source at an option is combined with others. */
export function isPart({ sources }: InspectedData, option: string): boolean {
  const list = /^(.*\.sources\.)\d+$/.exec(option)?.[1];
  return list !== undefined && sources.some(([other]) => other === `${list}1`);
}

export interface InspectedTraining {
  readonly data: TrainingDataConfig;
  /** Queries in a step. */
  readonly globalBatchSize: number;
}
