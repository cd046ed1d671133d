/** Asks Python what a checkpoint promises, and which encoders, losses and the like are registered, plugins' included. */
import { z } from "zod";
import { QuarryError } from "../errors.js";
import { type CallOptions, callPython } from "./bridge.js";

const option = z.object({
  name: z.string(),
  type: z.string(),
  /** The type as TypeScript writes it. */
  typescript: z.string(),
  /** JSON Schema of its values. */
  schema: z.record(z.string(), z.unknown()),
  default: z.unknown(),
  /** Where the default is nothing that JSON can hold, e.g. inf; `default` is null then. */
  defaultText: z.string().optional(),
  isRequired: z.boolean(),
  sentence: z.string(),
});
const component = z.object({
  name: z.string(),
  sentence: z.string(),
  /** "built-in", or the plugin's file. */
  origin: z.string(),
  options: z.array(option),
});
const registered = z.object({
  encoders: z.array(component),
  poolings: z.array(component),
  losses: z.array(component),
  retrievers: z.array(component),
  similarities: z.array(component),
});
/** A special token, and whether it really stands at that end of each text; null where there is none or nobody can tell. */
const token = z.object({ text: z.string(), id: z.int(), isAdded: z.boolean() }).nullable();
const modelReport = z.object({
  checkpoint: z.string(),
  path: z.string(),
  layout: z.string(),
  architecture: z.string(),
  modelType: z.string(),
  dimension: z.int(),
  pooling: z.string(),
  normalize: z.boolean(),
  similarity: z.string(),
  /** What comes after the pooling, in order. */
  head: z.array(z.string()),
  towers: z.enum(["tied", "separate"]),
  /** The base model of an adapter; null for a whole model. */
  adapter: z.string().nullable(),
  appendEos: z.boolean(),
  /** Whether each text is put into the tokenizer's chat template. */
  chatTemplate: z.boolean(),
  queryPrompt: z.string(),
  passagePrompt: z.string(),
  queryMaxLength: z.int(),
  passageMaxLength: z.int(),
  positionLimit: z.int(),
  tokenizerClass: z.string(),
  bos: token,
  eos: token,
  pad: token,
  paddingSide: z.string(),
  isLowerCase: z.boolean(),
  dtype: z.string(),
  parameterCount: z.int(),
  weightBytes: z.int(),
  /** Bytes of each file, by its path in the checkpoint. */
  files: z.record(z.string(), z.int()),
});

/** What a checkpoint promises, read from its small files; no weights are loaded. */
export type ModelReport = z.output<typeof modelReport>;
/** Encoders, poolings, losses, retrievers and similarities by name, with their options. */
export type Registered = z.output<typeof registered>;
/** One registered encoder, pooling, loss, retriever or similarity. */
export type RegisteredComponent = z.output<typeof component>;

/** Which checkpoint is meant. */
export interface InspectOptions extends CallOptions {
  /** Commit, tag or branch on the hub. */
  readonly revision?: string;
  /** Allows the checkpoint's own code; needs a revision that is a commit. */
  readonly trustRemoteCode?: boolean;
  /** Plugins, as absolute paths, for a checkpoint that names what they register. */
  readonly plugins?: readonly string[];
}

/**
 * What a checkpoint promises: architecture, dimension, pooling, prompts, lengths.
 *
 * @throws CONFIG for a checkpoint that does not exist, ENVIRONMENT for a Python that cannot be used, WORKER when Python
 *   dies or gives no answer in time
 * @example
 * const { dimension } = await inspectModel("sentence-transformers/all-MiniLM-L6-v2");
 */
export async function inspectModel(checkpoint: string, options: InspectOptions = {}): Promise<ModelReport> {
  const { revision = null, trustRemoteCode = false, plugins = [], ...call } = options;
  const args = [checkpoint, revision, trustRemoteCode, plugins];
  return parse(modelReport, await callPython("quarry_runtime.inspect", "model_contract", args, call));
}

/** Which Python files count. */
export interface RegisteredOptions extends CallOptions {
  /** Plugins, as absolute paths; what they register is listed as well. */
  readonly plugins?: readonly string[];
}

/**
 * Every registered encoder, pooling, loss, retriever and similarity with its typed options and where it comes from.
 *
 * @throws as {@link inspectModel}; CONFIG with file and line for a plugin that does not run
 */
export async function listRegistered(options: RegisteredOptions = {}): Promise<Registered> {
  const { plugins = [], ...call } = options;
  return parse(registered, await callPython("quarry_runtime.inspect", "registered", [plugins], call));
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new QuarryError("INTERNAL", "the Python runtime describes something else than this version expects", {
    cause: result.error,
    hint: "quarry setup",
  });
}
