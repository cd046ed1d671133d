/** The options of cross-encoders: what `crossEncoder(checkpoint, options)` takes, and the stage that ranks again with one. */
import { z } from "zod";
import { maxLength, name, path, positive, topK } from "./limits.js";

/** A text that goes into another one. */
const words = z.string().min(1).max(65_536);

/** Wherever a cross-encoder may stand; sections extend it with options of their own. */
export const crossEncoderSchema = z.strictObject({
  kind: z.literal("crossEncoder"),
  checkpoint: path.describe(
    "A Hugging Face model id or a folder: sequence classification, or a language model that ranks, causal or encoder-decoder.",
  ),
  revision: name.optional().describe("Commit, tag or branch on the hub."),
  trustRemoteCode: z
    .boolean()
    .default(false)
    .describe("Runs the checkpoint's own Python code; needs a revision that is a commit."),
  maxLength: maxLength
    .optional()
    .describe("Longest pair in tokens, query and passage together; default: the checkpoint's own."),
  activation: z
    .enum(["identity", "sigmoid", "softmax"])
    .optional()
    .describe(
      "What makes a logit a score; default: what the checkpoint says, else sigmoid of one label and softmax of several.",
    ),
  label: z.int().min(0).optional().describe("Which label's score counts, from 0; default: the last one."),
  template: words
    .optional()
    .describe(
      'What a pair becomes, e.g. "Query: {query}\\nPassage: {passage}\\nRelevant:"; default: the checkpoint\'s chat template, or both texts as its tokenizer joins them.',
    ),
  prompt: words
    .optional()
    .describe(
      "An instruction: the system's message of a chat template, else in front of each query; default: the checkpoint's own.",
    ),
  trueToken: name
    .optional()
    .describe(
      'Of a language model: the token whose logit says that a pair fits, e.g. "yes"; default: the checkpoint\'s own.',
    ),
  falseToken: name
    .optional()
    .describe(
      'The token that says it does not, e.g. "no": the score is the difference of both logits; default: none with a trueToken, else the checkpoint\'s own.',
    ),
  dtype: z
    .enum(["auto", "float32", "bfloat16", "float16"])
    .default("auto")
    .describe("Number format of scoring; auto is bfloat16 on a GPU that has it, else float32."),
  batchSize: positive.max(65_536).optional().describe("Pairs in one forward pass; default: workers.batchSize."),
});

export const rerankSchema = crossEncoderSchema.extend({
  topK: topK
    .optional()
    .describe(
      "Highest-ranked passages of each query that are scored again; the others keep their order behind them. Default: the 100 best, or all of evaluate.topK when that is less.",
    ),
});

export type CrossEncoderConfig = z.output<typeof crossEncoderSchema>;
export type RerankConfig = z.output<typeof rerankSchema>;
