/** The words of mining: ranked lists go in, negatives with their scores come out. Nothing here touches a file. */
import type { MineConfig } from "../../experiment/schema.js";

/** What one retriever found for one query, best first. */
export interface RankedList {
  readonly rows: Int32Array;
  readonly scores: Float32Array;
  /** Scores of pairs that were asked for whatever their rank, by passage row; those of the list need not stand here. */
  readonly tracked?: ReadonlyMap<number, number>;
}

/** The rules that compare scores on one retriever's scale. */
export type ScoreLimits = Pick<MineConfig, "maxScore" | "minScore" | "absoluteMargin" | "relativeMargin">;

/** Which positive margins are measured from: one of these, or the k-th best. */
export type MarginTo = MineConfig["marginTo"];

/** What of the options decides on negatives; a pure function of these, the seed and the lists. */
export interface MiningRules
  extends Pick<
    MineConfig,
    | "rangeMin"
    | "rangeMax"
    | "ranksOver"
    | "marginTo"
    | "sampling"
    | "temperature"
    | "negativesPerQuery"
    | "exclude"
    | "excludeIdenticalTexts"
    | "excludeSameId"
    | "standIn"
    | "fusion"
    | "rrfK"
  > {
  readonly seed: number;
  /** A user's own rule: whether a passage may be a negative. */
  readonly accepts?: (queryRow: number, passageRow: number, score: number) => boolean;
  /** One for each retriever, in the order of the lists. */
  readonly limits: readonly ScoreLimits[];
}

/** One query and everything that the rules look at. */
export interface QueryCase {
  readonly queryRow: number;
  /** One list for each retriever. */
  readonly lists: readonly RankedList[];
  /** Passages judged relevant, in the order of the qrels; empty for a query without judgements. */
  readonly positives: readonly number[];
  /** Every judged passage, relevant or not, before any filter. */
  readonly annotated: ReadonlySet<number>;
}

/** A passage that may become a negative. */
export interface Candidate {
  readonly row: number;
  /** Number of the retriever that gave it. */
  readonly retriever: number;
  /** Its score from each retriever; undefined where a list does not have it. */
  readonly scores: readonly (number | undefined)[];
  /** Place among those that ranks count, from 0. */
  rank: number;
  /** What orders candidates and weighs them. */
  score: number;
  /** What is written beside it: its score, or what a cross-encoder says. */
  label: number;
}

/** Why a candidate is no negative, in the order in which the rules are asked. */
export const DROP_REASONS = [
  "annotated",
  "sameId",
  "queryText",
  "positiveText",
  "repeatedText",
  "standIn",
  "maxScore",
  "minScore",
  "unknownPositive",
  "absoluteMargin",
  "relativeMargin",
  "filter",
  "notRescored",
  "rescoreMaxScore",
  "rescoreMinScore",
  "rescoreAbsoluteMargin",
  "rescoreRelativeMargin",
  "outOfRange",
] as const;

export type DropReason = (typeof DROP_REASONS)[number];

/** How often each rule said no. */
export type DropCounts = Partial<Record<DropReason, number>>;

/** Which texts are the same; the texts themselves are read only where a hash says that they may be. */
export interface TextIdentity {
  /** Equal texts have equal hashes. */
  passageHash(row: number): number;
  queryHash(row: number): number;
  isSamePassage(row: number, other: number): boolean;
  isQueryText(queryRow: number, row: number): boolean;
  isSameId(queryRow: number, row: number): boolean;
}
