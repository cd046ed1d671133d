/** What of an experiment is data: every source with the option it stands at, and the sets made of sources. */
import type { SearchDataConfig, SourceConfig, TrainingDataConfig } from "../../experiment/schema.js";

/** The data of an experiment, its sources standing for files on this machine. */
export interface InspectedData {
  /** Every source and the path of its option, e.g. "train.data.positives". */
  readonly sources: readonly (readonly [path: string, source: SourceConfig])[];
  /** What is evaluated, mined, encoded, and measured or mined from while training. */
  readonly searched: readonly { readonly path: string; readonly data: SearchDataConfig }[];
  readonly train: InspectedTraining | null;
}

/** Whether a path is that of data with which something is measured, as a step or while training. */
export function isEvaluated(path: string): boolean {
  return /^(train\.)?evaluate\./.test(path);
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
