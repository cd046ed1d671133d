/** What `train.loss` takes, as the editor shows it: the options of each loss by its name. */
import type { MatryoshkaInput } from "./options.generated.js";
import type { LossOptions } from "./plugin-types.js";

/** What every loss takes beside its own options. */
export interface SharedLossOptions {
  /** Factor of this loss where there are several; default: 1. */
  weight?: number | undefined;
  /** Names of parts of a mix whose queries have this loss; default: all of them. */
  sources?: readonly string[] | undefined;
  /** Computes the loss on leading dimensions too, so that vectors can be cut short. */
  matryoshka?: MatryoshkaInput | undefined;
}

/** A factor on the similarities: 1 / temperature. */
interface Scale {
  scale?: number | undefined;
}

/** A part of the batch that is held at a time; it becomes train.miniBatchSize. */
interface MiniBatch {
  miniBatchSize?: number | undefined;
}

type Without<Name extends keyof LossOptions, Keys extends string> = Omit<LossOptions[Name], Keys>;

/** Losses under the names and with the options that sentence-transformers has for them. */
export interface LossAliasOptions {
  MultipleNegativesRankingLoss: LossOptions["infonce"] & Scale;
  CachedMultipleNegativesRankingLoss: LossOptions["infonce"] & Scale & MiniBatch;
  MultipleNegativesSymmetricRankingLoss: Without<"infonce", "symmetric"> & Scale;
  CachedMultipleNegativesSymmetricRankingLoss: Without<"infonce", "symmetric"> & Scale & MiniBatch;
  InfoNCE: LossOptions["infonce"] & Scale;
  InfoNCELoss: LossOptions["infonce"] & Scale;
  MarginMSELoss: LossOptions["margin_mse"];
  TripletLoss: {
    tripletMargin?: number | undefined;
    distanceMetric?: "cosine" | "euclidean" | "manhattan" | undefined;
  };
  CoSENTLoss: LossOptions["cosent"] & Scale;
  DistillKLDivLoss: {
    temperature?: number | undefined;
    studentTemperature?: number | undefined;
    teacherTemperature?: number | undefined;
  };
  MatryoshkaLoss: {
    loss?: LossInput | undefined;
    matryoshkaDims: readonly number[];
    matryoshkaWeights?: readonly number[] | undefined;
  };
}

type Named<Options> = { [Name in keyof Options]: { name: Name } & Options[Name] & SharedLossOptions }[keyof Options];

declare const fromPlugin: unique symbol;

/** A loss of a plugin, as `loss(name, options)` gives it; its options are checked when it is made. */
export interface PluginLoss extends SharedLossOptions {
  readonly name: string;
  readonly [fromPlugin]: true;
}

/**
 * A loss by name, with its own options beside it; without a name it is infonce.
 *
 * Losses of plugins become names of their own once `quarry types` has written their options into {@link LossOptions};
 * before that, `loss(name, options)` makes them.
 */
export type LossInput =
  | Named<LossOptions>
  | Named<LossAliasOptions>
  | ({ name?: undefined } & LossOptions["infonce"] & SharedLossOptions)
  | PluginLoss;
