/** The options of mining; `retrievers` joins them in schema.ts, where models are described. */
import { z } from "zod";
import { crossEncoderSchema } from "./cross-encoder-schema.js";
import { files, functionStep, searchDataSchema } from "./data-schema.js";
import type { Triplet } from "./function-step.js";
import { positive, topK } from "./limits.js";

const margin = z.number().min(0);

const minedOutput = z.enum([
  "qrels",
  "triples",
  "grouped-jsonl",
  "run",
  "tevatron",
  "flagembedding",
  "triplet",
  "n-tuple",
  "labeled-pair",
  "labeled-list",
]);

/** Limits on the scores of one retriever. */
const limits = {
  maxScore: z.number().optional().describe("Passages with a higher score are no negatives."),
  minScore: z.number().optional().describe("Passages with a lower score are no negatives."),
  absoluteMargin: margin.optional().describe("How far below the positive's score a negative's has to be at least."),
  relativeMargin: margin
    .optional()
    .describe("Margin as a share of the positive's score: of its magnitude; 0.05 is the 95 % of NV-Retriever."),
};

/** One of several retrievers, but for its model. */
export const retrieverFields = {
  name: z
    .string()
    .regex(/^\w[\w.-]*$/, "letters, digits, '.', '_' and '-' only, the first a letter, a digit or '_'")
    .max(64)
    .optional()
    .describe("What reports and files call it; default: model-N or run-N with its place in the list, from 1."),
  run: files.optional().describe("A TREC run, or several files of one: somebody else's ranking of these queries."),
  topK: topK.optional().describe("Passages taken for each query; default: mine.topK."),
  ...limits,
};

/** A cross-encoder that looks at the candidates. */
export const rescoreSchema = z.strictObject({
  model: crossEncoderSchema.describe("A cross-encoder, as crossEncoder(…) gives it."),
  topK: topK
    .optional()
    .describe("Candidates of each query that are scored, by rank; the others are no negatives. Default: all."),
  maxScore: z
    .number()
    .optional()
    .describe("Passages that it scores higher are no negatives: likely positives without a label."),
  minScore: z.number().optional().describe("Passages that it scores lower are no negatives."),
  absoluteMargin: margin
    .optional()
    .describe("How far below its score of the positive a negative's has to be at least."),
  relativeMargin: margin.optional().describe("The same as a share of its score of the positive (of its magnitude)."),
  orderBy: z
    .enum(["retriever", "crossEncoder"])
    .default("retriever")
    .describe("Whose order sampling follows: the retriever's, whose errors training mends, or the cross-encoder's."),
});

export const mineFields = {
  data: searchDataSchema.describe("Passages to mine from, and queries with their judgements."),
  topK: topK.default(100).describe("Passages retrieved for each query."),
  queries: z
    .enum(["judged", "all"])
    .default("judged")
    .describe("Which queries get negatives: those with judgements, or all of the queries file."),
  includeModel: z
    .boolean()
    .default(true)
    .describe("Whether the experiment's model is the first of the retrievers; without it retrievers alone are asked."),
  fusion: z
    .enum(["roundRobin", "union", "reciprocalRank"])
    .default("roundRobin")
    .describe(
      "How the lists of several retrievers become one: they take turns, or the best rank in any list counts, or the sum " +
        "of 1 / (rrfK + rank).",
    ),
  rrfK: z.number().positive().default(60).describe("The constant of reciprocal rank fusion."),
  rangeMin: z
    .int()
    .min(0)
    .default(0)
    .describe("First rank that counts, from 0: what is ranked higher is skipped as a likely positive without a label."),
  rangeMax: positive
    .optional()
    .describe("The rank at which the range ends, itself not in it; default: none, it reaches to the last passage."),
  ranksOver: z
    .enum(["retrieved", "unjudged", "kept"])
    .default("retrieved")
    .describe(
      "What ranks count: all retrieved passages, those that are not excluded as judged or as copies, or those that " +
        "every other rule has left.",
    ),
  ...limits,
  marginTo: z
    .union([z.enum(["worst", "best", "mean"]), positive])
    .default("worst")
    .describe("Which of several positives margins are measured from; a number k is the k-th best."),
  sampling: z
    .enum(["top", "random", "weighted"])
    .default("top")
    .describe(
      "Which of the passages that are left: the first, random ones, or random ones by softmax of their scores.",
    ),
  temperature: z.number().positive().default(0.05).describe("Temperature of the softmax of weighted sampling."),
  negativesPerQuery: positive.default(10).describe("Negatives written for each query, best rank first."),
  exclude: z
    .enum(["annotated", "positives", "none"])
    .default("annotated")
    .describe("Whether all judged passages are excluded, the relevant ones alone, or none at all."),
  excludeIdenticalTexts: z
    .boolean()
    .default(true)
    .describe("Excludes passages with the very text of the query, of a positive or of a negative before them."),
  excludeSameId: z
    .boolean()
    .default(false)
    .describe("Excludes the passage with the query's own id, for collections whose queries are passages."),
  standIn: z
    .enum(["none", "top"])
    .default("none")
    .describe(
      "What stands in for the positive of a query without any: nothing, then margins do not apply to it; or the " +
        "passage ranked first, which is then no negative.",
    ),
  rescore: rescoreSchema
    .optional()
    .describe("A cross-encoder scores what the other rules left: false negatives go, its scores are the labels."),
  filter: functionStep<Triplet, boolean>("FunctionStep<Triplet, boolean>")
    .optional()
    .describe("Keeps the candidates for which this gives true; it sees both texts, and the retriever's score."),
  fillRandom: z
    .boolean()
    .default(false)
    .describe("Fills queries with too few negatives up with passages drawn at random from the whole pool."),
  minNegatives: z.int().min(0).default(0).describe("Queries with fewer negatives are left out of what is written."),
  output: z
    .union([minedOutput, z.array(minedOutput).min(1)])
    .default("qrels")
    .describe(
      "How negatives are written, one format or several: by ids (qrels, triples, grouped-jsonl, run), or with texts as " +
        "training files of Tevatron, FlagEmbedding and sentence-transformers (triplet, n-tuple, labeled-pair, labeled-list).",
    ),
  parquet: z.boolean().default(false).describe("Writes each training file with texts as Parquet, too."),
  scores: z
    .boolean()
    .default(false)
    .describe("Writes each passage's score beside it, as a teacher's label; positives without one are left out."),
};
