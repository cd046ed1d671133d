/** Training files of other toolkits, texts inlined; `withScores` writes each passage's score beside it. */
import { formatFloat32 } from "../../../data/index.js";
import type { ColumnType, MinedEntry, MinedFormat, MinedPassage, MinedText } from "./entry.js";

const WITH_TEXTS = { hasTexts: true, needsPositive: true, minNegatives: 1 } as const;

const textOf = ({ text }: MinedPassage): MinedText => text as MinedText;
const whole = (passage: MinedPassage): string => textOf(passage).whole;
const anchor = ({ query }: MinedEntry): string => (query as MinedText).whole;
const score = (passage: MinedPassage): number => Number(formatFloat32(passage.score ?? 0));

function when(holds: boolean, columns: Readonly<Record<string, ColumnType>>): Readonly<Record<string, ColumnType>> {
  return holds ? columns : {};
}

/** Tevatron: passages as objects with id, title and text. */
export function tevatron(withScores: boolean): MinedFormat {
  const passage = (given: MinedPassage): object => {
    const { title, text } = textOf(given);
    return { docid: given.id, title, text, ...(withScores ? { score: score(given) } : {}) };
  };
  const passages = [
    { docid: "string", title: "string", text: "string", ...when(withScores, { score: "double" }) },
  ] as const;
  return {
    ...WITH_TEXTS,
    file: "negatives.tevatron.jsonl",
    columns: {
      query_id: "string",
      query: "string",
      positive_passages: passages,
      negative_passages: passages,
    },
    lines: (entry) => [
      JSON.stringify({
        query_id: entry.queryId,
        query: anchor(entry),
        positive_passages: entry.positives.map(passage),
        negative_passages: entry.negatives.map(passage),
      }),
    ],
  };
}

/** FlagEmbedding: lists of texts, of scores where there are some, and the query's own prompt. */
export function flagEmbedding(withScores: boolean): MinedFormat {
  return {
    ...WITH_TEXTS,
    file: "negatives.flagembedding.jsonl",
    columns: {
      query: "string",
      pos: ["string"],
      neg: ["string"],
      ...when(withScores, { pos_scores: ["double"], neg_scores: ["double"] }),
      prompt: "string",
    },
    lines: (entry) => {
      const { positives, negatives } = entry;
      const prompt = entry.query?.prompt ?? null;
      return [
        JSON.stringify({
          query: anchor(entry),
          pos: positives.map(whole),
          neg: negatives.map(whole),
          ...(withScores ? { pos_scores: positives.map(score), neg_scores: negatives.map(score) } : {}),
          ...(prompt === null ? {} : { prompt }),
        }),
      ];
    },
  };
}

/** sentence-transformers' triplet: each positive with each negative. */
export function triplet(withScores: boolean): MinedFormat {
  return {
    ...WITH_TEXTS,
    file: "negatives.triplet.jsonl",
    columns: { anchor: "string", positive: "string", negative: "string", ...when(withScores, { scores: ["double"] }) },
    *lines(entry) {
      for (const positive of entry.positives) {
        for (const negative of entry.negatives) {
          yield JSON.stringify({
            anchor: anchor(entry),
            positive: whole(positive),
            negative: whole(negative),
            ...(withScores ? { scores: [score(positive), score(negative)] } : {}),
          });
        }
      }
    },
  };
}

/** sentence-transformers' n-tuple: a line a positive, all lines of equal width, so queries with fewer are left out. */
export function nTuple(withScores: boolean, negativesPerQuery: number): MinedFormat {
  return {
    ...WITH_TEXTS,
    file: "negatives.n-tuple.jsonl",
    columns: {
      anchor: "string",
      positive: "string",
      ...Object.fromEntries(
        Array.from({ length: negativesPerQuery }, (_, at) => [`negative_${at + 1}`, "string"] as const),
      ),
      ...when(withScores, { scores: ["double"] }),
    },
    minNegatives: negativesPerQuery,
    lines: (entry) =>
      entry.positives.map((positive) => {
        const negatives = entry.negatives.map((negative, at) => [`negative_${at + 1}`, whole(negative)] as const);
        return JSON.stringify({
          anchor: anchor(entry),
          positive: whole(positive),
          ...Object.fromEntries(negatives),
          ...(withScores ? { scores: [positive, ...entry.negatives].map(score) } : {}),
        });
      }),
  };
}

/** sentence-transformers' labeled pairs: a line a passage, with its score or else with 1 or 0. */
export function labeledPair(withScores: boolean): MinedFormat {
  return {
    ...WITH_TEXTS,
    file: "negatives.labeled-pair.jsonl",
    columns: { anchor: "string", positive: "string", ...(withScores ? { score: "double" } : { label: "int64" }) },
    *lines(entry) {
      for (const [passages, label] of [
        [entry.positives, 1],
        [entry.negatives, 0],
      ] as const) {
        for (const passage of passages) {
          const grade = withScores ? { score: score(passage) } : { label };
          yield JSON.stringify({ anchor: anchor(entry), positive: whole(passage), ...grade });
        }
      }
    },
  };
}

/** sentence-transformers' labeled list: a line a positive with all negatives and their labels, or their scores. */
export function labeledList(withScores: boolean): MinedFormat {
  return {
    ...WITH_TEXTS,
    file: "negatives.labeled-list.jsonl",
    columns: {
      anchor: "string",
      positive: ["string"],
      ...(withScores ? { scores: ["double"] } : { labels: ["int64"] }),
    },
    lines: (entry) =>
      entry.positives.map((positive) => {
        const passages = [positive, ...entry.negatives];
        const grades = withScores
          ? { scores: passages.map(score) }
          : { labels: passages.map((_, at) => (at === 0 ? 1 : 0)) };
        return JSON.stringify({ anchor: anchor(entry), positive: passages.map(whole), ...grades });
      }),
  };
}
