/** What scores a query and a passage together: a cross-encoder, wherever it runs. */

/** A query and a passage by their rows in a prepared source. */
export interface Pair {
  readonly queryRow: number;
  readonly passageRow: number;
}

/** Scores pairs; equal pairs have equal scores, whatever they are asked with. */
export interface PairScorer {
  /** A finite score for each pair, in their order. */
  score(pairs: readonly Pair[]): Promise<Float32Array>;
}
