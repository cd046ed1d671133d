/** Options of each loss by its name. Written by scripts/gen-losses.mjs from the Python registry; do not edit. */

/** Losses that come with Quarry, with their options. */
export interface BuiltInLossOptions {
/** Ranks all pairs (query, own passage) of the batch by their labels. */
cosent: {
  /**
   * Divides the similarities; lower is sharper.
   *
   * @defaultValue `0.05`
   */
  temperature?: number | undefined;
  /**
   * Trains the temperature along with the model, from the one given on.
   *
   * @defaultValue `false`
   */
  learnableTemperature?: boolean | undefined;
  /**
   * Whether pairs of other ranks are compared; false leaves the rank's own.
   *
   * @defaultValue `true`
   */
  gatherAcrossDevices?: boolean | undefined;
};
/** Contrastive loss with in-batch and explicit negatives, gathered across ranks. */
infonce: {
  /**
   * Divides the similarities; lower is sharper.
   *
   * @defaultValue `0.05`
   */
  temperature?: number | undefined;
  /**
   * Trains the temperature along with the model, from the one given on.
   *
   * @defaultValue `false`
   */
  learnableTemperature?: boolean | undefined;
  /**
   * Whether passages of other queries are negatives; false leaves a query's own.
   *
   * @defaultValue `true`
   */
  inBatchNegatives?: boolean | undefined;
  /**
   * Whether passages of other ranks are negatives; false leaves the rank's own.
   *
   * @defaultValue `true`
   */
  gatherAcrossDevices?: boolean | undefined;
  /**
   * Each positive has to pick its query as well; the mean of both directions.
   *
   * @defaultValue `false`
   */
  symmetric?: boolean | undefined;
  /** Own passages with this label or a higher one are positives too; default: the first one only. */
  minPositiveLabel?: number | undefined;
  /** Negatives whose similarity is above this are left out. */
  falseNegativeScore?: number | undefined;
  /** Negatives more similar than the positive plus this are left out; below 0 also those near it. */
  falseNegativeMargin?: number | undefined;
  /** Negatives more similar than this share of the positive's similarity are left out, e.g. 0.95. */
  falseNegativeRatio?: number | undefined;
};
/** Pulls the softmax of a query's own scores towards the softmax of its labels. */
kl: {
  /**
   * Divides the similarities; lower is sharper.
   *
   * @defaultValue `0.05`
   */
  temperature?: number | undefined;
  /**
   * Trains the temperature along with the model, from the one given on.
   *
   * @defaultValue `false`
   */
  learnableTemperature?: boolean | undefined;
  /**
   * Divides the labels before they become shares by softmax.
   *
   * @defaultValue `1`
   */
  labelTemperature?: number | undefined;
};
/** Logistic loss of each pair of own passages, times what swapping them would change of nDCG. */
lambdarank: {
  /**
   * Divides the similarities; lower is sharper.
   *
   * @defaultValue `0.05`
   */
  temperature?: number | undefined;
  /**
   * Trains the temperature along with the model, from the one given on.
   *
   * @defaultValue `false`
   */
  learnableTemperature?: boolean | undefined;
};
/** Cross-entropy between the shares of the labels and the softmax of the scores. */
listwise: {
  /**
   * Divides the similarities; lower is sharper.
   *
   * @defaultValue `0.05`
   */
  temperature?: number | undefined;
  /**
   * Trains the temperature along with the model, from the one given on.
   *
   * @defaultValue `false`
   */
  learnableTemperature?: boolean | undefined;
  /**
   * How labels become shares: in proportion (softmax cross-entropy) or by softmax (ListNet).
   *
   * @defaultValue `"proportional"`
   */
  targets?: "proportional" | "softmax" | undefined;
};
/** Squared difference between the model's and the labels' margin, over own negatives. */
margin_mse: {
  /**
   * Multiplies the similarities: a teacher's margins of 10 are out of a cosine's reach.
   *
   * @defaultValue `1`
   */
  scale?: number | undefined;
};
/** Hinge over triplets of query, positive and own negative. */
triplet: {
  /**
   * By how much a negative has to be farther away.
   *
   * @defaultValue `0.2`
   */
  margin?: number | undefined;
  /**
   * What is measured: 1 - cosine, or the distance of the vectors.
   *
   * @defaultValue `"cosine"`
   */
  distance?: "cosine" | "euclidean" | "manhattan" | undefined;
};
/** Contrastive loss whose target is not one passage but the grades of all own passages. */
ws_contrastive: {
  /**
   * Divides the similarities; lower is sharper.
   *
   * @defaultValue `0.05`
   */
  temperature?: number | undefined;
  /**
   * Trains the temperature along with the model, from the one given on.
   *
   * @defaultValue `false`
   */
  learnableTemperature?: boolean | undefined;
  /**
   * How labels become shares: in proportion, or by softmax over all columns, others at label 0.
   *
   * @defaultValue `"proportional"`
   */
  targets?: "proportional" | "softmax" | undefined;
  /**
   * Whether passages of other ranks are negatives; false leaves the rank's own.
   *
   * @defaultValue `true`
   */
  gatherAcrossDevices?: boolean | undefined;
};
}
