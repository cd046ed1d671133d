/** What the experiments are run with: numbers that change results, and are therefore told with them. */

/** The three first experiments of arXiv 2511.01857 in small, and the model as it comes. */
export const VARIANTS = ["before", "inBatch", "mined", "custom"] as const;
export type Variant = (typeof VARIANTS)[number];

export const COLLECTIONS = ["scifact", "nfcorpus"] as const;
export type Collection = (typeof COLLECTIONS)[number];

/** Training and evaluation alike. */
export interface Settings {
  readonly steps: number;
  readonly queries: number;
  readonly learningRate: number;
  readonly temperature: number;
  /** Longest query and passage in tokens. */
  readonly queryLength: number;
  readonly passageLength: number;
  /** Name of the loss of graded labels. */
  readonly loss: string;
  /** Number format of training's forward pass and of all encoding. */
  readonly isBf16: boolean;
}

/** What one training with its evaluation gave. */
export interface Result {
  readonly collection: Collection;
  readonly variant: Variant;
  readonly seed: number;
  readonly nDCG: number;
  readonly recall: number;
  readonly seconds: number;
}
