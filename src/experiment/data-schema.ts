/** The options that say what data is: files, sources with their algebra, views for training, policies of validation. */
import { z } from "zod";
import { type FunctionStep, isStep, type Triplet, type TripletGroup } from "./function-step.js";
import { name, positive } from "./limits.js";

const prompt = z.string().max(65_536);

/** A step made by step(); `type` is what the editor shows. */
export function functionStep<Input, Output>(type: string) {
  return z
    .custom<FunctionStep<Input, Output>>(isStep, { error: "expected what step({ name, version, fn }) gives" })
    .meta({ type });
}

export const fileSchema = z.strictObject({
  path: z.string().describe("Path, or hf://datasets/<repo>@<revision>/<path>."),
  format: z
    .string()
    .optional()
    .describe("Name of a format or of a registered reader; default: told by the file's name and beginning."),
  fields: z
    .record(z.string(), z.union([z.string(), z.int().min(0)]))
    .optional()
    .describe(
      "Where id, title, text, prompt, query, passage and score stand: name of a field or column, or its number from 0.",
    ),
  header: z.boolean().optional().describe("Whether the first line names the columns; default: told by its words."),
  delimiter: z
    .string()
    .min(1)
    .max(1)
    .optional()
    .describe("What separates columns; default: tab in .tsv, comma in .csv."),
  part: z
    .enum(["all", "positives", "negatives"])
    .default("all")
    .describe("Which passages of training files that hold both count as judgements."),
  scores: z
    .enum(["labels", "teacher"])
    .default("labels")
    .describe("Scores of training files: labels are 1 and 0, teacher takes the scores written beside the passages."),
});

const file = z.union([z.string(), fileSchema]);
/** One file or several. */
export const files = z.union([z.string(), fileSchema, z.array(file).min(1)]);

export const promptsSchema = z.strictObject({
  query: prompt.optional().describe("Text put before each query."),
  passage: prompt.optional().describe("Text put before each passage."),
});

export const templatesSchema = z.strictObject({
  query: prompt.optional().describe("How a query's text is made, with {text} and perhaps {title}."),
  passage: prompt
    .optional()
    .describe('How a passage\'s text is made, with {title} and {text}; default: "{title} {text}", no title, no space.'),
});

const fieldNames = z.array(name).min(1).max(64);

export const extrasSchema = z.strictObject({
  query: fieldNames.optional().describe("Fields or columns of each query that plugins get."),
  passage: fieldNames.optional().describe("Fields or columns of each passage that plugins get."),
  sourceName: z
    .boolean()
    .optional()
    .describe('Whether plugins get the source\'s name as well, under "source"; needs a name.'),
});

export const scoreMapSchema = z.strictObject({
  map: z.record(z.string(), z.number()).describe("New score of each score, e.g. { 1: 0, 2: 1, 3: 1 }."),
  otherwise: z
    .number()
    .optional()
    .describe("Score of what the map does not name; without it such a score is an error."),
});

export const sourceSchema = z.strictObject({
  kind: z.literal("source"),
  name: name.optional().describe("What messages and reports call this source."),
  corpus: files.describe("Passages: one or several files, or a folder in BEIR layout."),
  queries: files.optional().describe("Queries: one or several files; default: queries.jsonl beside the corpus."),
  qrels: files
    .optional()
    .describe("Judgements: one or several files; later ones win. A source without any only enlarges the search pool."),
  querySubset: files
    .optional()
    .describe("Keeps the judgements of these queries, or without qrels these queries: any file that yields query ids."),
  minScore: z.number().optional().describe("Keeps judgements with this score or a higher one (inclusive)."),
  maxScore: z.number().optional().describe("Keeps judgements below this score (exclusive)."),
  filter: functionStep<Triplet, boolean>("FunctionStep<Triplet, boolean>")
    .optional()
    .describe("Keeps the judgements for which this gives true."),
  groupFilter: functionStep<TripletGroup, readonly Triplet[] | boolean>(
    "FunctionStep<TripletGroup, readonly Triplet[] | boolean>",
  )
    .optional()
    .describe("Gives the judgements of a query to keep: some of them, or true for all and false for none."),
  groupTopK: positive.optional().describe("Takes this many passages of each query with the highest scores."),
  groupBottomK: positive.optional().describe("Takes this many passages of each query with the lowest scores."),
  groupFirstK: positive.optional().describe("Takes the first so many passages of each query, in file order."),
  groupRandomK: positive.optional().describe("Takes this many passages of each query at random, anew in each epoch."),
  scoreTransform: z
    .union([
      z.number(),
      z.enum(["floor", "ceil", "round"]),
      scoreMapSchema,
      functionStep<Triplet, number>("FunctionStep<Triplet, number>"),
    ])
    .optional()
    .describe(
      "The score that counts instead of the one written, after all selection: a constant, a rule, a map, a step.",
    ),
  prompts: promptsSchema.optional().describe("Texts put in front of this source's texts instead of the model's own."),
  templates: templatesSchema.optional().describe("How this source's texts are made of title and text."),
  extras: extrasSchema.optional().describe("What else of the records travels to plugins, and enters the store's keys."),
});

const merge = z
  .enum(["last", "first", "max", "error"])
  .default("last")
  .describe("Which score counts where several sources judge a pair; error refuses such data.");

export const combinedSchema = z.strictObject({
  kind: z.literal("combined"),
  sources: z.array(sourceSchema).min(1).describe("Sources in order; one without qrels only adds its passages."),
  merge,
});

/** One source or several. */
const sources = z.discriminatedUnion("kind", [sourceSchema, combinedSchema]);

const choice = z.enum(["rotate", "random", "first"]);
const tooFew = z
  .enum(["fewer", "cycle", "error"])
  .default("fewer")
  .describe(
    "What happens to a query with too few passages: its group is smaller, or they come round again, or an error.",
  );

const pairFields = {
  positives: sources.describe("Where relevant passages come from."),
  negatives: sources
    .optional()
    .describe("Where explicit (mined) negatives come from; none means in-batch negatives only."),
  negativesPerQuery: z.int().min(0).default(0).describe("Explicit negatives in each query's group."),
  positiveChoice: choice
    .default("rotate")
    .describe("Which positive of several: the next one in each epoch, a random one in each, or always the first."),
  negativeChoice: choice
    .default("rotate")
    .describe("Which negatives of many: the next ones in each epoch, random ones in each, or always the first."),
  tooFew,
};

export const binarySchema = z.strictObject({ kind: z.literal("binary"), ...pairFields });

export const scoredSchema = z.strictObject({ kind: z.literal("scored"), ...pairFields });

export const multiLevelSchema = z.strictObject({
  kind: z.literal("multiLevel"),
  sources: z.array(sourceSchema).min(1).describe("Sources of graded judgements, in order."),
  merge,
  passagesPerQuery: positive
    .default(8)
    .describe("Passages in each query's group; the first one has the highest label."),
  selection: z
    .enum(["random", "most", "least", "all"])
    .default("random")
    .describe(
      "Which passages join the best one: random ones in each epoch, the most or the least relevant, or all of them " +
        "(then the largest query decides the size of the groups, up to passagesPerQuery).",
    ),
  tooFew,
});

const viewSchema = z.discriminatedUnion("kind", [binarySchema, scoredSchema, multiLevelSchema]);

export const mixPartSchema = z.strictObject({
  name: name
    .optional()
    .describe(
      "What losses with sources and messages call this part; default: the names of its sources, else their files.",
    ),
  data: viewSchema.describe("Training data of one kind; all parts have groups of the same size."),
  weight: z
    .number()
    .positive()
    .optional()
    .describe("Share of the batches' queries; default: the number of its queries."),
});

export const mixSchema = z.strictObject({
  kind: z.literal("mix"),
  parts: z.array(mixPartSchema).min(1).describe("What is mixed."),
  batches: z
    .enum(["mixed", "single"])
    .default("mixed")
    .describe("Whether a step mixes the parts' queries or takes all of them from one part."),
});

/** What a model learns from. */
export const trainingDataSchema = z.discriminatedUnion("kind", [
  binarySchema,
  scoredSchema,
  multiLevelSchema,
  mixSchema,
]);

/** What is mined or encoded. */
export const searchDataSchema = sources;

export const suiteSetSchema = z.strictObject({
  // It names a folder of the run.
  name: z
    .string()
    .max(64)
    .regex(/^\w[\w.-]*$/, "letters, digits, '.', '_' and '-' only")
    .describe("What tables and folders call this data set."),
  data: sources.describe("Passages to search, queries and judgements."),
  measures: z.array(z.string()).min(1).optional().describe("Measures of this data set; default: evaluate.measures."),
  run: files
    .optional()
    .describe("Measures this TREC run of the data set in the place of a search, as evaluate.run does without a suite."),
});

export const suiteSchema = z.strictObject({
  kind: z.literal("suite"),
  sets: z.array(suiteSetSchema).min(1).describe("Data sets that are evaluated one after the other."),
});

/** What is evaluated: one data set, or several with a table of all. */
export const evaluationDataSchema = z.discriminatedUnion("kind", [sourceSchema, combinedSchema, suiteSchema]);

const policy = z.enum(["error", "warn", "drop"]);

export const validationSchema = z.strictObject({
  badLines: policy
    .default("error")
    .describe("Lines that cannot be read: bad encoding, wrong types, missing fields. warn and drop leave them out."),
  duplicateIds: policy.default("error").describe("Ids that occur again; warn and drop keep the first record."),
  danglingIds: policy
    .default("error")
    .describe("Judgements that name ids nobody knows; warn and drop leave the judgements out."),
  emptyTexts: policy
    .default("warn")
    .describe("Texts without content; warn keeps them, drop leaves them out of judgements and of the search pool."),
  contradictions: policy
    .default("warn")
    .describe("Passages both positive and negative for a query; warn and drop leave them out of the negatives."),
  duplicateTexts: policy
    .default("warn")
    .describe("Negatives with the very text of a positive; warn keeps them, drop leaves them out of the negatives."),
  withoutPositives: policy
    .default("warn")
    .describe("Judged queries that can form no group; warn and drop leave them out."),
});

export type FileConfig = z.output<typeof fileSchema>;
export type FilesConfig = z.output<typeof files>;
export type SourceConfig = z.output<typeof sourceSchema>;
/** One source or several combined. */
export type SearchDataConfig = z.output<typeof searchDataSchema>;
/** One data set or several. */
export type EvaluationDataConfig = z.output<typeof evaluationDataSchema>;
export type BinaryConfig = z.output<typeof binarySchema>;
export type ScoredConfig = z.output<typeof scoredSchema>;
export type MultiLevelConfig = z.output<typeof multiLevelSchema>;
export type MixConfig = z.output<typeof mixSchema>;
export type TrainingDataConfig = z.output<typeof trainingDataSchema>;
export type MergeRule = z.output<typeof merge>;
export type ValidationConfig = z.output<typeof validationSchema>;
export type Policy = z.output<typeof policy>;
