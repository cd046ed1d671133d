/** What the data plane offers to the rest of Quarry: tables of texts, judgements on row numbers, groups for training. */
import type { SourceConfig, ValidationConfig } from "../experiment/schema.js";
import type { Finding } from "./findings.js";

/** Where a record came from, for messages and traces. */
export interface Origin {
  readonly file: string;
  /** Line in the file, from 1. */
  readonly line: number;
}

/** A memory-mapped table of passages or queries; row numbers count from 0 in file order. */
export interface TextTable {
  readonly rowCount: number;
  /** Hash of the content: equal fingerprints mean equal ids, texts, prompts and templates in equal order. */
  readonly fingerprint: string;
  id(row: number): string;
  /** The id as run files write it: behind its source's name and a colon where several corpora have it. */
  qualifiedId(row: number): string;
  /** The row of an id, or -1. */
  rowOf(id: string): number;
  /** The row whose qualifiedId() is this, or -1. */
  rowOfQualified(id: string): number;
  /** Rank of each row's id among all ids ordered as UTF-8 bytes, [rowCount]; breaks ties between equal scores. */
  readonly idRanks: Int32Array;
  title(row: number): string;
  text(row: number): string;
  /** 32 bits over title and text: equal texts have equal hashes, also in tables of the other side. */
  textHash(row: number): number;
  origin(row: number): Origin;
  /** Bytes of title, text, prompt and extras as they are stored: without templates. The text is not read. */
  byteLength(row: number): number;
  /**
   * One Arrow IPC stream with columns row:int32, idRank:int32, title:utf8, text:utf8 of these rows, in this order, and
   * prompt:utf8 (null: the model's own) when a source or a record has a prompt of its own; behind it extras:utf8, a JSON
   * object or null, where the source's extras ask for further fields. A template is applied here:
   * then the title is empty. Bytes are copied column by column; no string is decoded. `row` holds `rows[i] + rowOffset`.
   */
  gather(rows: Int32Array, rowOffset?: number): Uint8Array;
  /** Asks the system to read these rows' texts ahead, so that gathering them later does not wait; cheap where they are in memory. */
  prefetch(rows: Int32Array): void;
  close(): void;
}

/** The judgements of one query after the algebra. */
export interface Judgements {
  /** Passage rows. */
  readonly rows: Int32Array;
  readonly scores: Float32Array;
}

/** Lazily materialised qrels: row numbers only; filters, transforms and selection happen when a query is asked for. */
export interface Qrels {
  /** Rows of queries that have at least one judgement after the filters, ascending. */
  readonly queryRows: Int32Array;
  /** Judgements of a query in file order; random selection depends on (seed, epoch, query) only. */
  judgements(queryRow: number, epoch: number): Judgements;
  /** All judgements of a query before any selection or filter: what counts as annotated. */
  annotated(queryRow: number): Judgements;
  /** Where a judgement was read. */
  origin(queryRow: number, passageRow: number): Origin | null;
}

/** One source or several, made ready: everything validated and memory-mapped. */
export interface PreparedSource {
  readonly passages: TextTable;
  readonly queries: TextTable;
  /** Passages to search and encode: all but those that the validation left out, ascending. */
  readonly searchRows: Int32Array;
  /** Queries to encode: all but those that the validation left out, ascending. */
  readonly encodableQueries: Int32Array;
  /** Null for a source without judgements. */
  readonly qrels: Qrels | null;
  /** Hash over texts, judgements and the options that shape them. */
  readonly fingerprint: string;
  close(): void;
}

/** Surroundings of preparation. */
export interface DataContext {
  /** Relative paths in sources start here. */
  readonly baseDir: string;
  readonly cacheDir: string;
  readonly seed: number;
  readonly onProgress?: (done: {
    readonly label: string;
    readonly lines: number;
    readonly bytes: number;
    readonly totalBytes: number;
  }) => void;
  readonly onWarning?: (message: string, hint: string | null) => void;
  /** What happens to faults of the data; default: the schema's. */
  readonly validation?: ValidationConfig;
  /** Hears of every fault, whatever the policy says. */
  readonly onFinding?: (finding: Finding, policy: "error" | "warn" | "drop") => void;
  /** True where faults are only to be told: nothing stops at them. */
  readonly isCheck?: boolean;
  /**
   * Parts of the training data (0 where it is no mix) whose negatives change while a model trains: every query with a
   * positive has its place, whatever the negatives at hand, so that a place means the same with any.
   */
  readonly refreshed?: readonly number[];
  readonly signal?: AbortSignal;
}

/** One query with its passages for a training step. */
export interface Group {
  /** Row of the query in the training set's query numbering. */
  readonly query: number;
  /** Rows in the training set's passage numbering, [passagesPerQuery]; the positive (or highest label) first. */
  readonly passages: Int32Array;
  /** [passagesPerQuery]. */
  readonly labels: Float32Array;
  /** Places that hold a passage; the others, at the end, repeat the first passage and must count for nothing. */
  readonly count: number;
  /** Which part of a mix it comes from, from 0; 0 without a mix. */
  readonly part: number;
}

/** The judgement that counts for a pair, for traces. */
export interface JudgementOrigin {
  readonly origin: Origin;
  /** What it came through. */
  readonly source: SourceConfig;
}

/** What a model learns from; several corpora share one numbering (offset of the corpus + row). */
export interface TrainingSet {
  /** Queries that can form a group. */
  readonly queryCount: number;
  readonly passagesPerQuery: number;
  /** Hash over texts, judgements and every option that shapes a group. */
  readonly fingerprint: string;
  /** The group of the i-th query (0 ≤ i < queryCount) in an epoch: a pure function of (seed, epoch, i). */
  group(index: number, epoch: number): Group;
  /** Further candidates for a group's places after the first, in seeded order, best used from the front. */
  spares(index: number, epoch: number): Judgements;
  /** Whether a passage is judged relevant to the query of a group. */
  isKnownPositive(query: number, passage: number): boolean;
  /** All passages judged relevant to a query, ascending. */
  knownPositives(query: number): Int32Array;
  /** What messages call a part of a mix; without a mix the whole is part 0. */
  partName(part: number): string;
  /** Parts of a mix; 1 without one. */
  readonly partCount: number;
  /** Which group stands at a place of the whole training's sequence; parts of a mix have sequences of their own. */
  at(place: number, globalBatchSize: number): { readonly index: number; readonly epoch: number };
  /** 32 bits over a passage's title and text: copies have equal hashes. The text itself is not read. */
  textHash(passage: number): number;
  /** Whether two passages have the same title and text. */
  isSameText(passage: number, other: number): boolean;
  /** Asks the disk for texts that are gathered later; does nothing while nothing comes from the disk. */
  prefetch(queryRows: Int32Array, passageRows: Int32Array): void;
  /** Arrow IPC stream as TextTable.gather. */
  gatherQueries(rows: Int32Array): Uint8Array;
  gatherPassages(rows: Int32Array): Uint8Array;
  /** Texts as the files have them; templates and prompts come later. */
  queryText(row: number): string;
  passageText(row: number): { readonly title: string; readonly text: string };
  /** Ids as the files write them, for messages. */
  queryId(row: number): string;
  passageId(row: number): string;
  queryOrigin(row: number): Origin;
  passageOrigin(row: number): Origin;
  /** The judgement that put a passage into its place of a group of this epoch; null for a padding. */
  judgement(group: Group, place: number, epoch: number): JudgementOrigin | null;
  close(): void;
}

/** One rank's share of a micro-step, ready for the wire. */
export interface MicroBatch {
  /** Arrow IPC stream, [Q] queries of this rank. */
  readonly queries: Uint8Array;
  /** Arrow IPC stream, [Q × P] passages of this rank, query by query. */
  readonly passages: Uint8Array;
  /** Column of each query's own positive among the passages of all ranks, [Q]. */
  readonly positiveColumns: Int32Array;
  /**
   * Where and why a column must not count as a negative (bits of MASKED): known positives, copies of them, passages
   * that have a column already, and paddings, [Q × C] row by row.
   */
  readonly mask: Uint8Array;
  /** [Q × P] row by row. */
  readonly labels: Float32Array;
  /** Passages of each group; the places behind them are paddings and count for nothing, [Q]. */
  readonly counts: Int32Array;
  /** Which part of a mix each query comes from, [Q]. */
  readonly sources: Int32Array;
  readonly queryCount: number;
  readonly passagesPerQuery: number;
  /** How many masked columns stand for known positives of a query or copies of them; no repeats, no paddings. */
  readonly maskedPositives: number;
  /** C: passages of all ranks in this micro-step. */
  readonly columnCount: number;
  /** Row numbers, for traces and for proving that a resume goes on with the very next batch. */
  readonly queryRows: Int32Array;
  readonly passageRows: Int32Array;
}
