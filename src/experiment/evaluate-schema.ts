/** Options of evaluation: as a step of its own, and while a model trains. */
import { z } from "zod";
import { evaluationDataSchema, files } from "./data-schema.js";
import { sideWorkersSchema } from "./side-schema.js";

const positive = z.int().min(1);

export const subCorpusSchema = z.strictObject({
  passages: positive.describe("Passages that are searched: all judged ones, and a random sample of the others."),
  seed: z.int().min(0).max(0xffffffff).optional().describe("Seed of the sample; default: the experiment's."),
});

/** What is measured, on what, how deep. */
export const evaluateFields = {
  data: evaluationDataSchema.describe("Passages to search, queries and judgements; several data sets as suite({ … })."),
  measures: z
    .array(z.string())
    .min(1)
    .default(["nDCG@10", "RR@10", "R@100"])
    .describe("Measures as ir_measures writes them: nDCG@10, RR@10, R@100, AP@1000, P(rel=2)@5, Success@1."),
  relevanceLevel: positive
    .max(9_999)
    .default(1)
    .describe("Lowest grade that counts as relevant, where a measure says nothing of its own (trec_eval -l)."),
  topK: positive.max(1_000_000).default(100).describe("Passages kept for each query."),
  excludeSameId: z
    .boolean()
    .optional()
    .describe("Leaves the passage with the query's own id out of the ranking, as BEIR does; for ArguAna, say."),
  subCorpus: subCorpusSchema
    .optional()
    .describe("A quick look: searches a part of the corpus and estimates what all of it would give, with an interval."),
  sampleQueries: positive
    .optional()
    .describe("A quick look: takes so many judged queries at random and states an interval of each measure."),
};

export const evaluateSchema = z.strictObject({
  ...evaluateFields,
  run: files
    .optional()
    .describe(
      "Measures this TREC run, or several files of one, in the place of a search: somebody else's ranking, for rerank to rank again. The model is not asked.",
    ),
});

export const trainEvaluateSchema = z.strictObject({
  ...evaluateFields,
  mode: z
    .enum(["workers", "ranks"])
    .default("workers")
    .describe("Who evaluates: worker processes while training goes on, or the ranks themselves, which pause for it."),
  evalSteps: positive
    .optional()
    .describe("Evaluates, and saves, every so many steps, and after the last one; default: train.args.saveSteps."),
  metricForBestModel: z
    .string()
    .optional()
    .describe(
      "The measure that makes a checkpoint the best; of one data set of a suite as set/measure; default: the first.",
    ),
  greaterIsBetter: z.boolean().default(true).describe("False where the best value of that measure is the lowest."),
  loadBestModelAtEnd: z
    .boolean()
    .default(false)
    .describe("Later steps work with the best checkpoint in place of the last one."),
  saveBestLimit: positive
    .default(1)
    .describe("Checkpoints with the best values that stay, beside the last train.args.saveTotalLimit."),
  earlyStoppingPatience: positive
    .optional()
    .describe("Ends training after so many evaluations in a row without an improvement; default: never."),
  earlyStoppingThreshold: z
    .number()
    .min(0)
    .default(0)
    .describe("What an improvement is for the patience: more than this above the last one."),
  maxWaiting: positive
    .default(4)
    .describe("Checkpoints that wait for their evaluation by workers, at most; then the oldest is skipped and told."),
  workers: sideWorkersSchema.prefault({}).describe('The worker processes of mode "workers".'),
});

export type EvaluateConfig = z.output<typeof evaluateSchema>;
export type TrainEvaluateConfig = z.output<typeof trainEvaluateSchema>;
