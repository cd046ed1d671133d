/**
 * Frames record batches of texts as Arrow IPC streams by hand: apache-arrow's writer takes longer than copying a
 * training batch does. The bytes are those that apache-arrow writes; a test compares them.
 */

/** Schema messages as apache-arrow writes them: row, idRank, title, text; the same with prompt; with prompt and extras. */
const SCHEMA =
  "/////xABAAAQAAAAAAAKABAADgAHAAgACgAAAAAAAAEQAAAAAAAEAAgACAAAAAQACAAAAAQAAAAEAAAApAAAAGAAAAAwAAAABAAAAHz///8QAAAAGAAA" +
  "AAAAAAUUAAAABAAAAHRleHQAAAAAAAAAANj///+k////EAAAABgAAAAAAAAFGAAAAAUAAAB0aXRsZQAAAAAAAAAEAAQABAAAAND///8QAAAAGAAAAAAA" +
  "AAIUAAAABgAAAGlkUmFuawAAAAAAAMT///8AAAABIAAAABAAFAAEAAAADwAQAAAACAAQAAAAEAAAABQAAAAAAAACGAAAAAMAAAByb3cAAAAAAAgADAAI" +
  "AAcACAAAAAAAAAEgAAAAAAAAAA==";
const PROMPT_SCHEMA =
  "/////1ABAAAQAAAAAAAKABAADgAHAAgACgAAAAAAAAEQAAAAAAAEAAgACAAAAAQACAAAAAQAAAAFAAAA5AAAAKAAAABwAAAARAAAABQAAAAQABgABAAL" +
  "ABMAFAAAAAwAEAAAABQAAAAAAAABGAAAAAAAAAUUAAAABgAAAHByb21wdAAAAAAAALD///98////EAAAABgAAAAAAAAFFAAAAAQAAAB0ZXh0AAAAAAAA" +
  "AADY////pP///xAAAAAYAAAAAAAABRgAAAAFAAAAdGl0bGUAAAAAAAAABAAEAAQAAADQ////EAAAABgAAAAAAAACFAAAAAYAAABpZFJhbmsAAAAAAADE" +
  "////AAAAASAAAAAQABQABAAAAA8AEAAAAAgAEAAAABAAAAAUAAAAAAAAAhgAAAADAAAAcm93AAAAAAAIAAwACAAHAAgAAAAAAAABIAAAAAAAAAA=";
const EXTRAS_SCHEMA =
  "/////4ABAAAQAAAAAAAKABAADgAHAAgACgAAAAAAAAEQAAAAAAAEAAgACAAAAAQACAAAAAQAAAAGAAAAFAEAANAAAACgAAAAdAAAAEQAAAAEAAAA1P///x" +
  "QAAAAAAAABGAAAAAAAAAUUAAAABgAAAGV4dHJhcwAAAAAAAHT///8QABgABAALABMAFAAAAAwAEAAAABQAAAAAAAABGAAAAAAAAAUUAAAABgAAAHByb21w" +
  "dAAAAAAAALD///98////EAAAABgAAAAAAAAFFAAAAAQAAAB0ZXh0AAAAAAAAAADY////pP///xAAAAAYAAAAAAAABRgAAAAFAAAAdGl0bGUAAAAAAAAABA" +
  "AEAAQAAADQ////EAAAABgAAAAAAAACFAAAAAYAAABpZFJhbmsAAAAAAADE////AAAAASAAAAAQABQABAAAAA8AEAAAAAgAEAAAABAAAAAUAAAAAAAAAhgA" +
  "AAADAAAAcm93AAAAAAAIAAwACAAHAAgAAAAAAAABIAAAAAAAAAA=";

/** A RecordBatch message up to its buffers: a flatbuffer whose numbers are zero (Message.fbs, MetadataVersion V5). */
const BATCH_HEAD =
  "FAAAAAAAAAAMABYAFAAPABAABAAMAAAAAAAAAAAAAAAAAAADEAAAAAQACgAYAAwACAAEAAoAAAAUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

const schemaBytes = Buffer.from(SCHEMA, "base64");
const promptSchemaBytes = Buffer.from(PROMPT_SCHEMA, "base64");
const extrasSchemaBytes = Buffer.from(EXTRAS_SCHEMA, "base64");
const headBytes = Buffer.from(BATCH_HEAD, "base64");

/** Places in the head, and the sizes of Message.fbs' structs Buffer and FieldNode. */
const BODY_LENGTH = 24;
const NODES = 60;
const ROW_COUNT = 64;
const BUFFER_COUNT = 76;
const STRUCT_BYTES = 16;
const EOS_BYTES = 8;

/** One column: how many of its values are missing, and the bytes of its buffers, the validity bitmap first. */
export interface ColumnShape {
  readonly nullCount: number;
  readonly byteLengths: readonly number[];
}

/** A whole stream whose buffers are still empty. */
export interface Frame {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where each buffer begins in `bytes`, column by column; multiples of 8. */
  readonly starts: readonly number[];
}

/** @param columns row, idRank, title, text, and prompt where there is a fifth, extras where there is a sixth. */
export function frameBatch(rowCount: number, columns: readonly ColumnShape[]): Frame {
  const schema = columns.length === 4 ? schemaBytes : columns.length === 5 ? promptSchemaBytes : extrasSchemaBytes;
  const lengths = columns.flatMap(({ byteLengths }) => byteLengths);
  const metaLength = headBytes.length + lengths.length * STRUCT_BYTES + 8 + columns.length * STRUCT_BYTES;
  const metaStart = schema.length + 8;
  const bodyStart = metaStart + metaLength;
  let bodyLength = 0;
  const starts = lengths.map((length) => {
    const start = bodyStart + bodyLength;
    bodyLength += padded(length);
    return start;
  });
  const bytes = new Uint8Array(bodyStart + bodyLength + EOS_BYTES);
  bytes.set(schema);
  bytes.set(headBytes, metaStart);
  const view = new DataView(bytes.buffer);
  // Continuation mark and length of the message, as in front of the schema.
  view.setInt32(schema.length, -1, true);
  view.setInt32(schema.length + 4, metaLength, true);
  setInt64(view, metaStart + BODY_LENGTH, bodyLength);
  setInt64(view, metaStart + ROW_COUNT, rowCount);
  view.setInt32(metaStart + BUFFER_COUNT, lengths.length, true);
  let at = metaStart + headBytes.length;
  for (const [index, length] of lengths.entries()) {
    setInt64(view, at, (starts[index] as number) - bodyStart);
    setInt64(view, at + 8, padded(length));
    at += STRUCT_BYTES;
  }
  // Four bytes of padding, so that the structs behind the vector's length are aligned.
  at += 4;
  view.setInt32(metaStart + NODES, at - (metaStart + NODES), true);
  view.setInt32(at, columns.length, true);
  at += 4;
  for (const { nullCount } of columns) {
    setInt64(view, at, rowCount);
    setInt64(view, at + 8, nullCount);
    at += STRUCT_BYTES;
  }
  view.setInt32(bytes.length - EOS_BYTES, -1, true);
  return { bytes, starts };
}

/** Arrow starts every buffer at a multiple of 8. */
export function padded(length: number): number {
  return Math.ceil(length / 8) * 8;
}

function setInt64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value % 2 ** 32, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}
