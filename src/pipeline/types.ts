/** What every verb takes and gives, shared by the pipeline, the command line and scripts. */
import type { Experiment } from "../experiment/define.js";
import type { EventStream } from "../report/events.js";
import type { CommandProgress } from "./runtime-command.js";

/** Surroundings of a verb. */
export interface VerbOptions {
  /** Aborting drains, saves and rejects with an INTERRUPTED error, whatever the reason; the same call resumes afterwards. */
  readonly signal?: AbortSignal;
  /** Hears everything that happens; without it the verb runs silently. Verbs at the same time may share one. */
  readonly events?: EventStream;
}

/** What a finished verb leaves behind. */
export interface RunResult {
  /** Folder that holds everything the run wrote. */
  readonly runDir: string;
  /**
   * Measure values by model, e.g. `{ base: { "nDCG@10": 0.645 }, "checkpoint-100": { "nDCG@10": 0.69 } }`. Of a suite
   * these are the average, and each data set stands beside it under `base/<name>`.
   */
  readonly metrics: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /**
   * Those of the last evaluation, which is the trained model's where one was trained, and ranked again where `rerank` is
   * asked for; empty without any.
   */
  readonly values: Readonly<Record<string, number>>;
  /** Folder of the checkpoint that steps after training work with: the last or the best; null where the run folder has none. */
  readonly checkpoint: string | null;
  /** Written files by what they are, e.g. run files, mined qrels, stored vectors. */
  readonly files: Readonly<Record<string, string>>;
}

/** How a run that lies on the disk is scored. */
export interface MeasureOptions extends ToldOptions {
  /** Judgements in any format that sources read; default: those beside the run, where an evaluation wrote it. */
  readonly qrels?: string;
  /** Default: nDCG@10, RR@10, R@100. `official` and `all_trec` stand for trec_eval's sets. */
  readonly measures?: readonly string[];
  /** Lowest grade that counts as relevant (trec_eval -l); default: 1. */
  readonly relevanceLevel?: number;
  /** Judged queries without results count as 0 (trec_eval -c, the default), or are left out of the means. */
  readonly missing?: "zero" | "skip";
  /** How many passages of each query count (trec_eval -M); default: all. */
  readonly depth?: number;
  /** Asks for 95 % bootstrap intervals of the means, drawn with this seed. */
  readonly intervalsSeed?: number;
}

/** What of a long call is told while it goes on. */
export interface ToldOptions {
  readonly signal?: AbortSignal | undefined;
  /** Hears what is done and how far it is, some times a second. */
  readonly onProgress?: ((progress: CommandProgress) => void) | undefined;
}

/** How runs are compared. */
export interface CompareOptions extends Omit<MeasureOptions, "depth" | "intervalsSeed"> {
  /** Lowest grade that counts as relevant (trec_eval -l); default: that of the files of values, if there are any, else 1. */
  readonly relevanceLevel?: number;
  /** Judged queries without results count as 0, or are left out; default: as in the files of values, else zero. */
  readonly missing?: "zero" | "skip";
  /** Seed of what is sampled: signs of the randomisation test, queries of the interval; default: 42. */
  readonly seed?: number;
  /** Assignments of the randomisation test that are sampled where they are too many to count; default: 100,000. */
  readonly samples?: number;
  /** How many queries with the biggest gains and losses are listed; default: 5. */
  readonly top?: number;
  /** Whether all runs are compared with all, not each with the first. */
  readonly allPairs?: boolean;
  /** Of folders that hold a suite, the name of the data set that is compared. */
  readonly set?: string;
}

/** How suites are compared; judgements are those of each data set. */
export interface CompareSuitesOptions extends Omit<CompareOptions, "qrels" | "set"> {
  /** As of runs. What files of values lack of some data sets is compared on the others, and has no average. */
  readonly measures?: readonly string[];
  /** How many queries of each data set with the biggest gains and losses are listed; default: none. */
  readonly top?: number;
}

/** A p value by itself, and corrected (Holm) over all comparisons of the call; null where it is not defined. */
export interface TestedP {
  readonly p: number | null;
  readonly pAdjusted: number | null;
}

/** A query that got better or worse. */
export interface MovedQuery {
  readonly query: string;
  readonly baseline: number;
  readonly run: number;
  readonly difference: number;
}

/** One measure of two runs, query by query; `difference` is the run's mean minus the baseline's. */
export interface ComparedMeasure {
  readonly measure: string;
  readonly baseline: string;
  readonly run: string;
  readonly baselineMean: number;
  readonly runMean: number;
  readonly difference: number;
  /** Bootstrap interval of the difference, 95 %. */
  readonly interval: readonly [low: number, high: number];
  readonly tTest: TestedP & { readonly statistic: number | null };
  readonly randomisation: TestedP & { readonly isExact: boolean; readonly samples: number };
  readonly wins: number;
  readonly ties: number;
  readonly losses: number;
  readonly gains: readonly MovedQuery[];
  readonly drops: readonly MovedQuery[];
}

/** What a comparison found. */
export interface Comparison {
  readonly runs: readonly {
    readonly run: string;
    readonly mean: Readonly<Record<string, number>>;
    /** Queries of this run that another one lacks, where such queries are left out. */
    readonly leftOut: number;
  }[];
  readonly queryCount: number;
  readonly comparisons: readonly ComparedMeasure[];
  /** Older files of values, which do not say what they rest on: whether they fit is for the reader to know. */
  readonly unstated: readonly string[];
}

/** One data set of a suite. */
export interface SetComparison extends Comparison {
  readonly set: string;
}

/**
 * One measure of two runs on average over data sets, each of which counts the same: means of the sets' means. The tests
 * are of this difference, with queries relabelled or drawn again within each set.
 */
export type ComparedAverage = Omit<ComparedMeasure, "wins" | "ties" | "losses" | "gains" | "drops">;

/** What a comparison of suites found; p values are corrected over `sets` and `averages` together. */
export interface SuiteComparison {
  /** The data sets that all runs have. */
  readonly sets: readonly SetComparison[];
  /** Of each pair, the measures that all these sets have; none where there is a single one. */
  readonly averages: readonly ComparedAverage[];
  /** Data sets that some runs lack. */
  readonly leftOut: readonly { readonly set: string; readonly lackedBy: readonly string[] }[];
}

/** Names of the things that can be done with an experiment. */
export type VerbName = "run" | "train" | "evaluate" | "mine" | "encode" | "search";

/** One of these things. */
export type Verb = (experiment: Experiment, options?: VerbOptions) => Promise<RunResult>;
