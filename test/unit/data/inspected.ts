/** A small collection with mined negatives, and training data over it, as check, stats and show are given it. */
import type { InspectedTraining } from "../../../src/data/inspect/inspected.js";
import type { BinaryConfig, SourceConfig } from "../../../src/experiment/schema.js";
import { passages, qrels, queries, sourceOf } from "./collection.js";

export const files = {
  "corpus.jsonl": passages(12),
  "queries.jsonl": queries(6),
  "train.tsv": qrels(Array.from({ length: 6 }, (_, at) => [`q${at}`, `d${at}`, 1])),
  "mined.tsv": qrels(
    Array.from({ length: 18 }, (_, at) => [`q${at % 6}`, `d${6 + ((at + Math.floor(at / 6)) % 6)}`, at / 4]),
  ),
};

export const positives = sourceOf({ qrels: "train.tsv", name: "train" });
const negatives = sourceOf({ qrels: "mined.tsv", minScore: 1, groupRandomK: 2 });

export function pairs(options: Partial<BinaryConfig> = {}): InspectedTraining {
  const data: BinaryConfig = {
    kind: "binary",
    positives,
    negatives,
    negativesPerQuery: 2,
    positiveChoice: "rotate",
    negativeChoice: "rotate",
    tooFew: "fewer",
    ...options,
  };
  return { data, globalBatchSize: 4 };
}

export function training(train: InspectedTraining = pairs()) {
  const { positives: one, negatives: other } = train.data as BinaryConfig;
  const sources = [
    ["train.data.positives", one as SourceConfig],
    ["train.data.negatives", other as SourceConfig],
  ] as const;
  return { sources, searched: [], train };
}
