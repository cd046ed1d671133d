/** Writes the table of texts as an Arrow IPC file, batch by batch, and notes where each column's bytes lie. */
import {
  type DataType,
  Field,
  Int32,
  makeData,
  RecordBatch,
  RecordBatchFileWriter,
  Schema,
  Struct,
  type TypeMap,
  Utf8,
} from "apache-arrow";
import { FileSink, type WrittenFile } from "../storage/file-sink.js";
import type { OptionalColumns } from "./batch-builder.js";
import { padded } from "./ipc-stream.js";

/** A column of strings: [offsets[i], offsets[i + 1]) of `bytes` is the i-th. */
export interface StringColumn {
  readonly offsets: Int32Array;
  readonly bytes: Uint8Array;
}

/** One record batch, column by column. */
export interface BatchColumns {
  readonly rowCount: number;
  readonly id: StringColumn;
  readonly title: StringColumn;
  readonly text: StringColumn;
  /** Null where the table has no column of prompts. */
  readonly prompt: StringColumn | null;
  /** Null where the table has no column of extras. */
  readonly extras: StringColumn | null;
  readonly line: Int32Array;
  readonly idCheck: Int32Array;
  readonly textCheck: Int32Array;
}

/** Where a batch lies in the file; `start` is the offset of its first buffer. */
export interface BatchPlace {
  readonly start: number;
  readonly rowCount: number;
  readonly idBytes: number;
  readonly titleBytes: number;
  readonly textBytes: number;
  /** 0 where the table has no column of prompts. */
  readonly promptBytes: number;
  /** 0 where the table has no column of extras. */
  readonly extrasBytes: number;
}

const STRINGS = ["id", "title", "text", "prompt", "extras"] as const;
const NUMBERS = ["line", "idCheck", "textCheck"] as const;

/** Columns of strings: prompts and extras only where some record has one. */
function stringsOf({ hasPrompts, hasExtras }: OptionalColumns): readonly (typeof STRINGS)[number][] {
  return STRINGS.filter((name) => (name === "prompt" ? hasPrompts : name === "extras" ? hasExtras : true));
}

function schemaOf(columns: OptionalColumns): Schema {
  return new Schema([
    ...stringsOf(columns).map((name) => new Field(name, new Utf8(), false)),
    ...NUMBERS.map((name) => new Field(name, new Int32(), false)),
  ]);
}

/** Bytes from a batch's first buffer to each of its buffers, in the order of the schema. */
export function bufferStarts(place: BatchPlace, columns: OptionalColumns): number[] {
  const starts: number[] = [];
  let at = place.start;
  for (const name of stringsOf(columns)) {
    const valueBytes = place[`${name}Bytes`];
    starts.push(at, at + padded((place.rowCount + 1) * 4));
    at += padded((place.rowCount + 1) * 4) + padded(valueBytes);
  }
  for (let column = 0; column < NUMBERS.length; column += 1) {
    starts.push(at);
    at += padded(place.rowCount * 4);
  }
  return starts;
}

/** apache-arrow's writer, pointed at a file and asked where it put its batches. */
class PlacedWriter extends RecordBatchFileWriter<TypeMap> {
  onBytes: ((bytes: Uint8Array) => void) | null = null;

  protected override _write(chunk: unknown): this {
    if (!this._started) return this;
    // The base class collects what it writes in memory; a table may be larger than that.
    const view = chunk as Uint8Array;
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    this.onBytes?.(bytes);
    this._position += bytes.byteLength;
    return this;
  }

  get lastBatchStart(): number {
    const block = this._recordBatchBlocks.at(-1);
    if (block === undefined) throw new Error("no batch was written");
    return block.offset + block.metaDataLength;
  }
}

export class ArrowFile {
  readonly #sink: FileSink;
  readonly #writer = new PlacedWriter();
  readonly places: BatchPlace[] = [];

  readonly #schema: Schema;

  constructor(
    path: string,
    private readonly columns: OptionalColumns,
  ) {
    this.#schema = schemaOf(columns);
    this.#sink = new FileSink(path);
    this.#writer.onBytes = (bytes) => this.#sink.write(bytes);
  }

  /** Writes a batch; its buffers may be used again when this returns. */
  write(batch: BatchColumns): void {
    const { rowCount } = batch;
    const children = [
      ...stringsOf(this.columns).map((name) => {
        const { offsets, bytes } = batch[name] as StringColumn;
        return makeData({ type: new Utf8(), length: rowCount, nullCount: 0, valueOffsets: offsets, data: bytes });
      }),
      ...NUMBERS.map((name) => makeData({ type: new Int32(), length: rowCount, nullCount: 0, data: batch[name] })),
    ];
    const type = new Struct<Record<string, DataType>>(this.#schema.fields);
    const data = makeData({ type, length: rowCount, nullCount: 0, children });
    this.#writer.write(new RecordBatch(this.#schema, data));
    // What the sink holds back are views of the batch's buffers.
    this.#sink.flush();
    this.places.push({
      start: this.#writer.lastBatchStart,
      rowCount,
      idBytes: batch.id.bytes.byteLength,
      titleBytes: batch.title.bytes.byteLength,
      textBytes: batch.text.bytes.byteLength,
      promptBytes: batch.prompt?.bytes.byteLength ?? 0,
      extrasBytes: batch.extras?.bytes.byteLength ?? 0,
    });
  }

  async finish(): Promise<WrittenFile> {
    this.#writer.close();
    await this.#sink.sync();
    return this.#sink.finish();
  }

  abandon(): void {
    this.#sink.abandon();
  }
}
