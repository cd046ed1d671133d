/** What a format of mined negatives makes its lines of: one query with its passages. */
import type { Candidate } from "../types.js";

/** A text as the model sees it: a source's template has been applied, then the title is empty. */
export interface MinedText {
  readonly title: string;
  readonly text: string;
  /** Title and text as the worker joins them. */
  readonly whole: string;
  /** A prompt of the source's or the record's own; null: the model's. */
  readonly prompt: string | null;
}

export interface MinedPassage {
  /** As run files write it. */
  readonly id: string;
  /** Null where the format writes ids only. */
  readonly text: MinedText | null;
  /** Null where nobody scored it. */
  readonly score: number | null;
  /** Null for a positive. */
  readonly origin: Origin | null;
}

/** Where a negative came from. */
export type Origin = Readonly<Pick<Candidate, "retriever" | "scores" | "rank">>;

export interface MinedEntry {
  readonly queryId: string;
  readonly query: MinedText | null;
  readonly positives: readonly MinedPassage[];
  /** Best rank first. */
  readonly negatives: readonly MinedPassage[];
}

/** Type of a column in Parquet: a scalar, a list of one type, a struct. */
export type ColumnType =
  | "string"
  | "double"
  | "int64"
  | readonly [ColumnType]
  | { readonly [name: string]: ColumnType };

/** One way to write mined negatives. */
export interface MinedFormat {
  /** Name in the step's folder. */
  readonly file: string;
  readonly header?: string;
  /** Whether texts are written, not only ids. */
  readonly hasTexts: boolean;
  /** Whether a query without a positive has no line in it. */
  readonly needsPositive: boolean;
  /** Negatives that a line has to have; fewer leave the query out. */
  readonly minNegatives: number;
  /** The fields of its lines where they are JSON: they can be columns of Parquet as well. */
  readonly columns?: Readonly<Record<string, ColumnType>>;
  lines(entry: MinedEntry): Iterable<string>;
}
