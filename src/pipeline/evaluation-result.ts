/** What evaluations and rankings of theirs come to, on one data set or on each of a suite. */
import { dirname, join } from "node:path";
import type { Measured } from "./measure.js";
import type { CorpusPart, Estimate } from "./quick-look.js";
import type { Throughput } from "./summary.js";

/** What the evaluation on one data set found; paths are relative to the run folder. */
export interface SetResult {
  readonly values: Readonly<Record<string, number>>;
  readonly queryCount: number;
  readonly throughput: Throughput;
  readonly run: string;
  /** Of a quick look at a part of the corpus: how much of it was searched, and what all of it would give. */
  readonly part?: Pick<CorpusPart, "searched" | "total">;
  readonly wholeCorpus?: Readonly<Record<string, Estimate>>;
  /** Of a quick look at some queries: 95 % intervals of the values. */
  readonly intervals?: Measured["intervals"];
}

/** What an evaluation found: on its only data set, or on each of a suite. */
export interface EvaluateResult {
  /** Of a suite the mean over its data sets. */
  readonly values: Readonly<Record<string, number>>;
  readonly sets: readonly (SetResult & { readonly name: string | null })[];
}

/** The files that a data set's values stand for. */
export function filesOfSet({ run }: SetResult): string[] {
  return [run, ...["qrels.trec", "per-query.json"].map((name) => join(dirname(run), name))];
}
