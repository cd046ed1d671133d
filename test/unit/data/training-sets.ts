/** Training data as an experiment gives it, with the schema's defaults, for the tests of views and plans. */
import { openTrainingSet } from "../../../src/data/index.js";
import type { DataContext, TrainingSet } from "../../../src/data/types.js";
import type { BinaryConfig, MixConfig, MultiLevelConfig, ScoredConfig } from "../../../src/experiment/data-schema.js";
import { qrels } from "./collection.js";

type Options<Config, Needed extends keyof Config> = Partial<Omit<Config, "kind">> & Pick<Config, Needed>;

const pair = { negativesPerQuery: 0, positiveChoice: "rotate", negativeChoice: "rotate", tooFew: "fewer" } as const;

export function binary(options: Options<BinaryConfig, "positives">): BinaryConfig {
  return { kind: "binary", ...pair, ...options };
}

export function scored(options: Options<ScoredConfig, "positives">): ScoredConfig {
  return { kind: "scored", ...pair, ...options };
}

export function multiLevel(options: Options<MultiLevelConfig, "sources">): MultiLevelConfig {
  return { kind: "multiLevel", merge: "last", passagesPerQuery: 8, selection: "random", tooFew: "fewer", ...options };
}

export function mix(parts: MixConfig["parts"], batches: MixConfig["batches"] = "mixed"): MixConfig {
  return { kind: "mix", parts, batches };
}

export async function open(
  data: BinaryConfig | ScoredConfig | MultiLevelConfig | MixConfig,
  context: DataContext,
): Promise<TrainingSet> {
  return openTrainingSet(data, context);
}

/** Judgements of q… and d… as BEIR TSV. */
export function tsv(list: readonly (readonly [number, number, number])[], prefix = "d"): string {
  return qrels(list.map(([query, passage, score]) => [`q${query}`, `${prefix}${passage}`, score] as const));
}
