/** What a reader of a file format offers: records one by one, as bytes, each with its line. New formats add a file and a line in built-in.ts. */
import type { FileConfig } from "../../experiment/schema.js";
import type { InputFile } from "./input.js";

/** A piece of a buffer that is valid UTF-8. */
export interface Span {
  bytes: Uint8Array;
  start: number;
  end: number;
}

/** One passage or query. The same object and buffers are used again for the next record. */
export interface TextRecord {
  line: number;
  readonly id: Span;
  readonly title: Span;
  readonly text: Span;
  /** A prompt of the record's own; used only where the format says `hasPrompts`. */
  readonly prompt: Span;
  /** A JSON object of the further fields that the file's `extras` name, empty without any; see extras.ts. */
  readonly extras: Span;
}

/** One judgement. The same object and buffers are used again for the next record. */
export interface JudgementRecord {
  line: number;
  readonly query: Span;
  readonly passage: Span;
  score: number;
}

/** One id of a query subset. The same object and buffers are used again for the next record. */
export interface IdRecord {
  line: number;
  readonly id: Span;
}

/** What a file is read for. */
export type Role = "corpus" | "queries" | "qrels" | "ids";

/** A file that the user named: absolute path, options with their defaults. */
export interface SourceFile extends FileConfig {
  /** Further fields of its records that plugins get. */
  readonly extras?: readonly string[];
}

/** What a format is recognised by. */
export interface Sample {
  /** Path of the file in lower case, `.gz` left off. */
  readonly name: string;
  /** The beginning of the content, uncompressed, without byte order mark, at most 64 KiB. */
  readonly head: Buffer;
  /** Whether the file goes on behind it. */
  readonly isCut: boolean;
}

/** Options of a file that only some formats know. */
export type FileOption = "fields" | "header" | "delimiter" | "part" | "scores" | "extras";

/**
 * Reads one file format in the roles that it has a method for.
 *
 * Each method calls `onRecord` for each record in file order, and `input.fault(line, message, hint)` for each one that
 * cannot be read: that throws, or, where bad lines are left out, counts and returns, and the reader goes on behind it.
 */
export interface Format {
  /** What messages and the option `format` call it, e.g. "trec-run". */
  readonly name: string;
  /** A change of what it reads changes the version, and with it the key of cached data. */
  readonly version: number | string;
  /** The options that mean something here: others are refused, so that none is given in vain. Left out: all do. */
  readonly options?: readonly FileOption[];
  /** Whether a file without a named format is in this one; the first format that says so reads it. */
  matches(sample: Sample, role: Role, file: SourceFile): boolean;
  /** True where files repeat texts (training files with passages inlined): equal repeats are one record, no fault. */
  readonly mayRepeat?: boolean;
  /** Whether records carry prompts of their own: none do, all texts may, or queries alone. */
  readonly hasPrompts?: boolean | "queries";
  readTexts?(
    input: InputFile,
    file: SourceFile,
    role: "corpus" | "queries",
    onRecord: (record: TextRecord) => void,
  ): Promise<void>;
  readJudgements?(input: InputFile, file: SourceFile, onRecord: (record: JudgementRecord) => void): Promise<void>;
  /** Query ids; an id may come several times. */
  readIds?(input: InputFile, file: SourceFile, onRecord: (record: IdRecord) => void): Promise<void>;
}
