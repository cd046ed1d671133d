/** The options of negatives that are mined anew while a model trains; `retrievers` joins them in schema.ts. */
import { z } from "zod";
import { searchDataSchema } from "./data-schema.js";
import { mineFields } from "./mine-schema.js";

// How negatives are written is no choice here: they go to the plan.
const { data: _data, output: _output, parquet: _parquet, scores: _scores, ...rules } = mineFields;

export const refreshMineFields = {
  data: searchDataSchema
    .optional()
    .describe("Passages to mine from, and queries with their judgements; default: the positives that are trained on."),
  ...rules,
};

export const refreshFields = {
  everySteps: z
    .int()
    .min(1)
    .describe("Mines with the model as it is after so many steps, again and again; a checkpoint is written there."),
  switchAfterSteps: z
    .union([z.int().min(0), z.literal("ready")])
    .optional()
    .describe(
      "Steps from there to the first one with the new negatives, where training waits if they are not mined: equal seeds " +
        'give equal runs. 0 waits at once; "ready" takes them as soon as they are there, so the step depends on timing. ' +
        "Default: everySteps.",
    ),
  maxStaleness: z
    .int()
    .min(1)
    .optional()
    .describe(
      'With switchAfterSteps "ready": training waits rather than learn from negatives that a model mined more steps ago.',
    ),
  parts: z
    .array(z.string().min(1))
    .min(1)
    .optional()
    .describe(
      "Names of the parts of a mix, or of their positives' sources, that get new negatives; default: all with negatives.",
    ),
};
