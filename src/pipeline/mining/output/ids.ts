/** Formats that name queries and passages by their ids: qrels, runs, triples. */
import { formatFloat32 } from "../../../data/index.js";
import type { MinedFormat, MinedPassage } from "./entry.js";

const BY_ID = { hasTexts: false, needsPositive: false, minNegatives: 1 } as const;
const HEADER = "query-id\tcorpus-id\tscore";

function scoreOf({ score }: MinedPassage): string {
  return formatFloat32(score ?? 0);
}

/** BEIR's TSV: a source reads it as its `qrels`. */
export const qrels: MinedFormat = {
  ...BY_ID,
  file: "negatives.tsv",
  header: HEADER,
  lines: ({ queryId, negatives }) => negatives.map((each) => `${queryId}\t${each.id}\t${scoreOf(each)}`),
};

/** The positives with their scores, for a source of scored positives beside the negatives. */
export const scoredPositives: MinedFormat = {
  ...BY_ID,
  file: "positives.tsv",
  header: HEADER,
  minNegatives: 0,
  lines: ({ queryId, positives }) => positives.map((each) => `${queryId}\t${each.id}\t${scoreOf(each)}`),
};

/** Query id, positive, negative: each positive with each negative. */
export const triples: MinedFormat = {
  ...BY_ID,
  file: "negatives.triples.tsv",
  needsPositive: true,
  lines: ({ queryId, positives, negatives }) =>
    positives.flatMap((positive) => negatives.map((negative) => `${queryId}\t${positive.id}\t${negative.id}`)),
};

/** A line a query with the lists of its negatives and their scores. */
export const groupedJsonl: MinedFormat = {
  ...BY_ID,
  file: "negatives.grouped.jsonl",
  lines: ({ queryId, negatives }) => [
    JSON.stringify({
      qid: queryId,
      docid: negatives.map(({ id }) => id),
      score: negatives.map((each) => Number(scoreOf(each))),
    }),
  ],
};

/** A TREC run of what was kept, in order: somebody else's retriever list, or candidates for reranking. */
export function run(tag: string): MinedFormat {
  return {
    ...BY_ID,
    file: "negatives.run",
    lines: ({ queryId, negatives }) =>
      negatives.map((each, at) => `${queryId} Q0 ${each.id} ${at + 1} ${scoreOf(each)} ${tag}`),
  };
}

/** Who gave each negative, at which rank, and what each retriever scored it; names are those of the retrievers. */
export function origins(names: readonly string[]): MinedFormat {
  return {
    ...BY_ID,
    file: "origins.tsv",
    header: ["query-id", "corpus-id", "retriever", "rank", "score", ...names.map((name) => `score-${name}`)].join("\t"),
    lines: ({ queryId, negatives }) =>
      negatives.map((each) => {
        const { retriever = -1, rank = -1, scores = [] } = each.origin ?? {};
        const found = names.map((_, at) => (scores[at] === undefined ? "" : formatFloat32(scores[at])));
        return [queryId, each.id, names[retriever] ?? "random", rank, scoreOf(each), ...found].join("\t");
      }),
  };
}
