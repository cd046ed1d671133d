/** What every verb takes and gives, shared by the pipeline, the command line and scripts. */
import type { Experiment } from "../experiment/define.js";
import type { EventStream } from "../report/events.js";

/** Surroundings of a verb. */
export interface VerbOptions {
  /** Aborting drains, saves and rejects with an INTERRUPTED error; the same call resumes afterwards. */
  readonly signal?: AbortSignal;
  /** Hears everything that happens; without it the verb runs silently. */
  readonly events?: EventStream;
}

/** What a finished verb leaves behind. */
export interface RunResult {
  /** Folder that holds everything the run wrote. */
  readonly runDir: string;
  /** Measure values by model, e.g. `{ base: { "nDCG@10": 0.645 }, "checkpoint-100": { "nDCG@10": 0.69 } }`. */
  readonly metrics: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Folder of the last complete checkpoint, null when nothing was trained. */
  readonly checkpoint: string | null;
  /** Written files by what they are, e.g. run files, mined qrels, stored vectors. */
  readonly files: Readonly<Record<string, string>>;
}

/** One of the things that can be done with an experiment. */
export type Verb = (experiment: Experiment, options?: VerbOptions) => Promise<RunResult>;
