/** Options of a model's tokens, towers, adapters and quantisation. */
import { z } from "zod";
import { name, path } from "./limits.js";

export const adapterSchema = z.strictObject({
  kind: z.literal("lora"),
  r: z.int().min(1).max(65_536).default(16).describe("Rank of the two matrices that are trained for each module."),
  alpha: z.number().positive().default(32).describe("What they add is scaled by alpha / r, with rslora alpha / √r."),
  dropout: z.number().min(0).lt(1).default(0).describe("Dropout before the adapter."),
  targetModules: z
    .union([z.literal("all-linear"), z.array(name).min(1).max(64)])
    .default("all-linear")
    .describe("Names of the modules that get one, e.g. query, value; default: every linear one but a pooler."),
  rslora: z.boolean().default(false).describe("Scales by alpha / √r, which higher ranks need (rsLoRA)."),
  dora: z.boolean().default(false).describe("Trains the length of each weight's column apart (DoRA)."),
  baseDtype: z
    .enum(["float32", "bfloat16"])
    .default("float32")
    .describe("What the frozen weights are held in while training; bfloat16 halves their memory."),
});

/** Fields of a model that say what is trained of it, and how texts become tokens. */
export const towerFields = {
  appendEos: z
    .boolean()
    .optional()
    .describe(
      "Ends every text with exactly one end token, whatever the tokenizer does; default: as the checkpoint has it.",
    ),
  padToMultipleOf: z
    .int()
    .min(1)
    .max(1_024)
    .optional()
    .describe("Pads each batch to a multiple of so many tokens, in training and inference; 8 suits most GPUs."),
  towers: z
    .enum(["tied", "separate"])
    .optional()
    .describe("Whether queries and passages share one encoder; default: as the checkpoint has it, tied for most."),
  queryCheckpoint: path
    .optional()
    .describe("Where the queries' own encoder starts; default with separate towers: as a copy of the passages'."),
  queryRevision: name.optional().describe("Commit, tag or branch of queryCheckpoint on the hub."),
  adapter: adapterSchema
    .optional()
    .describe("Trains an adapter and leaves the model's own weights alone, as lora({ … }) gives it."),
  quantization: z
    .enum(["8bit", "4bit"])
    .optional()
    .describe(
      "Holds the weights in 8 or 4 bits through bitsandbytes; to train such a model, give it an adapter (QLoRA).",
    ),
};

export type AdapterConfig = z.output<typeof adapterSchema>;
