/**
 * What plugins register, as types: tables that the file which `quarry types` writes adds to, so that a wrong option of a
 * user's own loss or encoder is a compile error.
 */
import type { BuiltInLossOptions } from "./loss-options.generated.js";

/** Losses by name, each with its options; a plugin's types add theirs. */
// biome-ignore lint/suspicious/noEmptyInterface: plugins' types add to it
export interface LossOptions extends BuiltInLossOptions {}

/** Encoders by name, each with its options; a plugin's types add theirs. */
export interface EncoderOptions {
  /** Any transformers encoder or decoder, followed as its checkpoint says. */
  auto: Record<string, never>;
}

/** Poolings by name; a plugin's types add theirs. */
export interface PoolingOptions {
  /** The mean of the tokens' vectors. */
  mean: Record<string, never>;
  /** The first token's vector. */
  cls: Record<string, never>;
  /** The last token's vector. */
  last: Record<string, never>;
  /** The mean of the tokens' vectors, of which token t of a text weighs t (SGPT). */
  weightedmean: Record<string, never>;
  /** The largest of each dimension. */
  max: Record<string, never>;
  /** The sum of the tokens' vectors through the square root of their number. */
  mean_sqrt_len: Record<string, never>;
}

/** Whole retrievers by name, each with its options: all of them come from plugins. */
// biome-ignore lint/suspicious/noEmptyInterface: plugins' types add to it
export interface RetrieverOptions {}

/** A component of a table by its name, its options beside it. */
type Named<Table> = { [Name in keyof Table]: { name: Name } & Table[Name] }[keyof Table];

/** The name of a pooling. */
export type PoolingName = keyof PoolingOptions;

/** The name of an encoder. */
export type EncoderName = keyof EncoderOptions;

/** A plugin's retriever and its options; any, as long as no plugin's types are there. */
export type TrainRetrieverInput = [keyof RetrieverOptions] extends [never]
  ? { name: string; [option: string]: unknown }
  : Named<RetrieverOptions>;
