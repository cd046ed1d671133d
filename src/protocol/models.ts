/** How a model travels: what is asked for, and what it turned out to be; parts of the messages in messages.ts. */
import { z } from "zod";

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER);
const name = z.string().min(1).max(256);
const text = z.string().max(65_536);
const path = z.string().min(1).max(4_096);

/** A new LoRA, rsLoRA or DoRA on a model that is about to be trained; null targets are all linear modules. */
export const adapterSpec = z.strictObject({
  r: z.int().min(1).max(65_536),
  alpha: z.number().positive(),
  dropout: z.number().min(0).lt(1),
  targetModules: z.array(name).min(1).max(64).nullable(),
  rslora: z.boolean(),
  dora: z.boolean(),
  /** What the frozen weights are held in; the adapter's own are float32. */
  baseDtype: z.enum(["float32", "bfloat16"]),
});

/** What a worker must know to build a model; null means "as the checkpoint says". */
export const modelSpec = z.strictObject({
  checkpoint: path,
  revision: name.nullable(),
  trustRemoteCode: z.boolean(),
  encoder: name,
  encoderOptions: z.record(z.string(), z.unknown()),
  plugins: z.array(path).max(64),
  /** A pooling's name, one that a plugin registers, or several joined by "+". */
  pooling: name.nullable(),
  normalize: z.boolean().nullable(),
  /** dot, cosine, or a similarity that a plugin registers. */
  similarity: name.nullable(),
  queryPrompt: text.nullable(),
  passagePrompt: text.nullable(),
  queryMaxLength: z.int().min(1).max(1_000_000).nullable(),
  passageMaxLength: z.int().min(1).max(1_000_000).nullable(),
  appendEos: z.boolean().nullable(),
  padToMultipleOf: z.int().min(1).max(1_024).nullable(),
  /** "separate" gives queries an encoder of their own. */
  towers: z.enum(["tied", "separate"]).nullable(),
  /** Where the queries' own encoder starts, if not as a copy of the passages'. */
  queryCheckpoint: path.nullable(),
  queryRevision: name.nullable(),
  /** Taken note of in training only; afterwards it lies in the checkpoint. */
  adapter: adapterSpec.nullable(),
  quantization: z.enum(["8bit", "4bit"]).nullable(),
  dtype: z.enum(["auto", "float32", "bfloat16", "float16"]),
});

/** What a loaded model turned out to be: every null of the spec resolved. */
export const modelContract = z.strictObject({
  checkpoint: path,
  architecture: name,
  dimension: count,
  pooling: name,
  normalize: z.boolean(),
  similarity: name,
  queryPrompt: text,
  passagePrompt: text,
  queryMaxLength: count,
  passageMaxLength: count,
  paddingSide: z.enum(["left", "right"]),
  dtype: z.enum(["float32", "bfloat16", "float16"]),
  parameterCount: count,
  /** The hub's commit that the files came from; null for a folder and for the embedded model. */
  revision: name.nullable(),
  /** SHA-256 over everything that determines a vector: weights, tokenizer, pooling, prompts, lengths, dtype. */
  fingerprint: name,
});

/** A cross-encoder: any checkpoint of sequence classification; null means "as the checkpoint says". */
export const crossEncoderSpec = z.strictObject({
  checkpoint: path,
  revision: name.nullable(),
  trustRemoteCode: z.boolean(),
  /** Tokens of query and passage together. */
  maxLength: z.int().min(1).max(1_000_000).nullable(),
  /** What makes a logit a score. */
  activation: z.enum(["identity", "sigmoid", "softmax"]).nullable(),
  /** Which logit of several counts; null is the last one, as in (not relevant, relevant). */
  label: count.nullable(),
  dtype: z.enum(["auto", "float32", "bfloat16", "float16"]),
});

/** What a loaded cross-encoder turned out to be. */
export const crossEncoderContract = z.strictObject({
  checkpoint: path,
  architecture: name,
  labelCount: count,
  label: count,
  maxLength: count,
  activation: z.enum(["identity", "sigmoid", "softmax"]),
  dtype: z.enum(["float32", "bfloat16", "float16"]),
  parameterCount: count,
  revision: name.nullable(),
  /** SHA-256 over everything that determines a score. */
  fingerprint: name,
});
