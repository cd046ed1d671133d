/**
 * Arrow record batches framed by hand: the heads are apache-arrow's own, made once for each number of rows; the bytes of
 * the columns are put in place by whoever fills a frame.
 */
import {
  type Data,
  type DataType,
  Field,
  FixedSizeBinary,
  FixedSizeList,
  Float16,
  Float32,
  Int8,
  Int32,
  MetadataVersion,
  makeData,
  RecordBatch,
  RecordBatchStreamWriter,
  Schema,
  Struct,
  Uint16,
} from "apache-arrow";
import { FileBlock, Footer } from "apache-arrow/ipc/metadata/file";
import { type Frame, padded } from "../data/texts/ipc-stream.js";
import { ITEM_BYTES, type VectorDtype } from "./types.js";

/** One column: its type, and the bytes that a row takes. */
interface Column {
  readonly field: Field;
  readonly rowBytes: number;
}

/** The head of a batch, and from where it begins the places of its columns and of its end. */
interface BatchHead {
  readonly bytes: Uint8Array;
  readonly starts: readonly number[];
  readonly end: number;
}

const MAGIC = Buffer.from("ARROW1");
/** The magic and its padding to a multiple of 8. */
const FILE_HEAD_BYTES = 8;
/** Continuation mark and an empty length. */
const END_OF_STREAM = Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
const KEY_BYTES = 16;

/** Batches with the same columns; a column of vectors and, for int8, one of scales stand among them. */
export class ArrowLayout {
  readonly #columns: readonly Column[];
  readonly #schema: Schema;
  readonly #heads = new Map<number, BatchHead>();
  #schemaBytes: Uint8Array | null = null;

  private constructor(columns: readonly Column[]) {
    this.#columns = columns;
    this.#schema = new Schema(columns.map(({ field }) => field));
  }

  /** What is on the disk: key, vector, and scale for int8. */
  static ofShard(dtype: VectorDtype, dimension: number): ArrowLayout {
    const key = { field: new Field("key", new FixedSizeBinary(KEY_BYTES), false), rowBytes: KEY_BYTES };
    return new ArrowLayout([key, ...vectorColumns(dtype, dimension)]);
  }

  /** What travels to a worker: row, idRank, vector, and scale for int8. */
  static ofUnit(dtype: VectorDtype, dimension: number): ArrowLayout {
    return new ArrowLayout([...numberColumns("row", "idRank"), ...vectorColumns(dtype, dimension)]);
  }

  /** What travels to a worker that reads the files by itself: row, idRank, file, offset, and scaleOffset for int8. */
  static ofPlaces(dtype: VectorDtype): ArrowLayout {
    const scale = dtype === "int8" ? ["scaleOffset"] : [];
    return new ArrowLayout(numberColumns("row", "idRank", "file", "offset", ...scale));
  }

  /** An Arrow IPC stream of one batch, to be filled. */
  frame(rowCount: number): Frame {
    const head = this.head(rowCount);
    const schema = this.#schemaOf();
    const bytes = new Uint8Array(schema.length + head.end + END_OF_STREAM.length);
    bytes.set(schema);
    bytes.set(head.bytes, schema.length);
    bytes.set(END_OF_STREAM, schema.length + head.end);
    return { bytes, starts: head.starts.map((start) => schema.length + start) };
  }

  /** The bytes in front of a batch's columns, in streams and files alike. */
  head(rowCount: number): BatchHead {
    const known = this.#heads.get(rowCount) ?? this.#makeHead(rowCount);
    this.#heads.set(rowCount, known);
    return known;
  }

  /** What a file begins with. */
  fileHead(): Uint8Array {
    const head = Buffer.alloc(FILE_HEAD_BYTES);
    MAGIC.copy(head);
    return Buffer.concat([head, this.#schemaOf()]);
  }

  /** What a file ends with: where its batches lie. Bytes between two batches belong to nobody. */
  fileTail(batches: readonly { readonly start: number; readonly rowCount: number }[]): Uint8Array {
    const blocks = batches.map(({ start, rowCount }) => {
      const { bytes, end } = this.head(rowCount);
      return new FileBlock(bytes.length, end - bytes.length, start);
    });
    const footer = Footer.encode(new Footer(this.#schema, MetadataVersion.V5, blocks, []));
    const size = Buffer.alloc(4);
    size.writeInt32LE(footer.byteLength);
    return Buffer.concat([END_OF_STREAM, footer, size, MAGIC]);
  }

  #schemaOf(): Uint8Array {
    if (this.#schemaBytes === null) this.#makeHead(0);
    return this.#schemaBytes as Uint8Array;
  }

  #makeHead(rowCount: number): BatchHead {
    const children = this.#columns.map(({ field }) => emptyData(field.type, rowCount));
    const struct = makeData({ type: new Struct(this.#schema.fields), length: rowCount, nullCount: 0, children });
    const stream = RecordBatchStreamWriter.writeAll([new RecordBatch(this.#schema, struct)]).toUint8Array(true);
    const view = new DataView(stream.buffer, stream.byteOffset);
    const schemaEnd = 8 + view.getInt32(4, true);
    const bodyStart = schemaEnd + 8 + view.getInt32(schemaEnd + 4, true);
    this.#schemaBytes ??= stream.slice(0, schemaEnd);
    const bytes = stream.slice(schemaEnd, bodyStart);
    const starts: number[] = [];
    let end = bytes.length;
    for (const { rowBytes } of this.#columns) {
      starts.push(end);
      end += padded(rowBytes * rowCount);
    }
    if (schemaEnd + end + END_OF_STREAM.length !== stream.length) {
      throw new RangeError(`apache-arrow lays ${rowCount} rows out otherwise`);
    }
    return { bytes, starts, end };
  }
}

function numberColumns(...names: readonly string[]): Column[] {
  return names.map((name) => ({ field: new Field(name, new Int32(), false), rowBytes: 4 }));
}

function vectorColumns(dtype: VectorDtype, dimension: number): Column[] {
  const items: Readonly<Record<VectorDtype, DataType>> = {
    float32: new Float32(),
    float16: new Float16(),
    bfloat16: new Uint16(),
    int8: new Int8(),
  };
  const item = new Field("item", items[dtype], false);
  const told = new Map([["quarry.dtype", dtype]]);
  const vector = new Field("vector", new FixedSizeList(dimension, item), false, told);
  const columns: Column[] = [{ field: vector, rowBytes: dimension * ITEM_BYTES[dtype] }];
  if (dtype === "int8") columns.push({ field: new Field("scale", new Float32(), false), rowBytes: 4 });
  return columns;
}

/** Zeros of a type, for a head; the body is thrown away. */
function emptyData(type: DataType, length: number): Data {
  if (type instanceof FixedSizeList) {
    const [item] = type.children;
    const child = emptyData((item as Field).type, length * type.listSize);
    return makeData({ type, length, nullCount: 0, child });
  }
  if (type instanceof FixedSizeBinary) {
    return makeData({ type, length, nullCount: 0, data: new Uint8Array(length * type.byteWidth) });
  }
  if (type instanceof Float32) return makeData({ type, length, nullCount: 0, data: new Float32Array(length) });
  if (type instanceof Float16 || type instanceof Uint16) {
    return makeData({ type: type as Uint16, length, nullCount: 0, data: new Uint16Array(length) });
  }
  if (type instanceof Int8) return makeData({ type, length, nullCount: 0, data: new Int8Array(length) });
  return makeData({ type: type as Int32, length, nullCount: 0, data: new Int32Array(length) });
}
