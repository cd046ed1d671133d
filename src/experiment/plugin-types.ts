/**
 * What plugins register, as types: tables that the file which `quarry types` writes adds to, so that a wrong option of a
 * user's own loss or encoder is a compile error.
 */

/** Losses by name, each with its options; a plugin's types add theirs. */
export interface LossOptions {
  /** Contrastive loss with in-batch and explicit negatives, gathered across ranks. */
  infonce: {
    /** Divides the similarities; lower is sharper. */
    temperature?: number | undefined;
  };
  /** infonce under its name in sentence-transformers, with scale = 1 / temperature. */
  MultipleNegativesRankingLoss: {
    /** Multiplies the similarities: 1 / temperature. */
    scale?: number | undefined;
  };
  /** Pulls the softmax of a query's own scores towards the softmax of its labels. */
  kl: {
    /** Divides the similarities; lower is sharper. */
    temperature?: number | undefined;
    /** Divides the labels before they become shares by softmax. */
    labelTemperature?: number | undefined;
  };
}

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

/** A loss and its options; without a name infonce is meant. */
export type LossInput = Named<LossOptions> | ({ name?: undefined } & LossOptions["infonce"]);

/** The name of a pooling. */
export type PoolingName = keyof PoolingOptions;

/** The name of an encoder. */
export type EncoderName = keyof EncoderOptions;

/** A plugin's retriever and its options; any, as long as no plugin's types are there. */
export type TrainRetrieverInput = [keyof RetrieverOptions] extends [never]
  ? { name: string; [option: string]: unknown }
  : Named<RetrieverOptions>;
