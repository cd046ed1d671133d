/** What a report tells of a run, as it was read from its folder. */

/** Values of measures by name. */
export type Values = Readonly<Record<string, number>>;

/** What an evaluation measured on one data set; of a suite on each of them and on average. */
export interface ReportedValues {
  /** Of the run, e.g. `evaluate-base`. */
  readonly step: string;
  /** Null where there is one only. */
  readonly set: string | null;
  readonly values: Values;
  /** In words, by measure: what is estimated for all passages where a part of them was searched. */
  readonly estimates: Readonly<Record<string, string>>;
}

/** A run of an experiment. */
export interface ReportedRun {
  readonly name: string;
  /** Absolute. */
  readonly path: string;
  readonly status: "done" | "failed" | "stopped" | "killed" | "at work" | "not started";
  /** Milliseconds since the epoch; null where nothing was recorded. */
  readonly startedAt: number | null;
  /** Seconds at work, pauses between resumes left out. */
  readonly seconds: number;
  /** How often it was started. */
  readonly starts: number;
  /** In the order in which they were made. */
  readonly evaluations: readonly ReportedValues[];
  /** Null where nothing was trained. */
  readonly training: ReportedTraining | null;
  /** Between the first and the last evaluation; null where there are not two. */
  readonly moved: MovedQueries | null;
  readonly phases: readonly ReportedPhase[];
  readonly notes: readonly ReportedNote[];
  /** The experiment with every default filled in, and what else the folder says of where numbers come from. */
  readonly experiment: unknown;
  readonly environment: unknown;
}

/** Points in the order of their steps: neighbours share one where there are too many to see. Finite numbers only. */
export type Curve = readonly CurvePoint[];

/** A point of a curve. */
export interface CurvePoint {
  readonly step: number;
  readonly mean: number;
  readonly least: number;
  readonly most: number;
}

/** A training, up to the last step that was told. */
export interface ReportedTraining {
  readonly steps: number;
  readonly maxSteps: number | null;
  readonly lastLoss: number | null;
  /** Mean share of a step in which the device waited for data, 0 to 1. */
  readonly waitShare: number | null;
  readonly loss: Curve;
  readonly learningRate: Curve;
  readonly gradNorm: Curve;
  /** Evaluations while it went on, in order of their steps; of one data set, or of a suite's average. */
  readonly evaluations: readonly { readonly step: number; readonly values: Values }[];
  readonly best: { readonly step: number; readonly measure: string; readonly value: number } | null;
  /** Steps after which other negatives were used. */
  readonly switches: readonly number[];
}

/** How queries fared in two evaluations, by one measure. */
export interface MovedQueries {
  readonly measure: string;
  readonly from: string;
  readonly to: string;
  readonly better: number;
  readonly worse: number;
  readonly equal: number;
  /** How many queries changed by -1 … 1, in bins of equal width. */
  readonly bins: readonly number[];
  /** Those that changed most, gains first. */
  readonly most: readonly { readonly query: string; readonly before: number; readonly after: number }[];
}

/** A phase, as its last life told it. */
export interface ReportedPhase {
  readonly label: string;
  readonly unit: string;
  readonly done: number;
  /** Null where it did not end. */
  readonly seconds: number | null;
  readonly isCached: boolean;
}

/** Something that was told on the way. */
export interface ReportedNote {
  readonly level: "note" | "warning" | "error" | "lost";
  readonly text: string;
  readonly hint: string | null;
  readonly count: number;
}
