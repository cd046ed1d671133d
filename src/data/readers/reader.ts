/** What a reader of a file format offers: records one by one, as bytes, each with its line. New formats add a file and a line in formats.ts. */
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
}

/** One judgement. The same object and buffers are used again for the next record. */
export interface JudgementRecord {
  line: number;
  readonly query: Span;
  readonly passage: Span;
  score: number;
}

/** Reads one file format. */
export interface RecordReader<Record> {
  /** Name and version; a change of what it reads changes the version, and with it the key of cached data. */
  readonly format: string;
  /** Endings of file names in this format, ".gz" left off. */
  readonly endings: readonly string[];
  /**
   * Calls `onRecord` for each record in file order.
   *
   * @throws QuarryError DATA with file and line at the first fault.
   */
  read(input: InputFile, onRecord: (record: Record) => void): Promise<void>;
}

export type TextReader = RecordReader<TextRecord>;
export type JudgementReader = RecordReader<JudgementRecord>;
