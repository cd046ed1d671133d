/** Pairs of query and passage as a cross-encoder reads them: frames for the wire, digests for a cache. */
import { createHash } from "node:crypto";
import { Field, Int32, makeData, RecordBatch, RecordBatchStreamWriter, Schema, Struct, Utf8 } from "apache-arrow";
import { QuarryError } from "../../errors.js";
import { textBlocks } from "../texts/blocks.js";
import { gatheredBytes } from "../texts/gathered.js";
import type { TextTable } from "../types.js";

/** Bytes of one text's digest. */
export const DIGEST_BYTES = 32;
/** Offsets of Arrow's utf8 columns are 32 bits wide. */
const MAX_BYTES = 2 ** 31 - 1;
const SPACE = new Uint8Array([0x20]);
const NOTHING = new Uint8Array(0);

const schema = new Schema([
  new Field("row", new Int32()),
  new Field("query", new Utf8()),
  new Field("title", new Utf8()),
  new Field("text", new Utf8()),
]);

/** Titles and texts of some rows as bytes, with templates applied; prompts belong to bi-encoders and are left out. */
function rowTexts(table: TextTable, rows: Int32Array): Record<"title" | "text", (at: number) => Uint8Array> {
  const columns = gatheredBytes(table.gather(rows));
  const [titles, texts] = [columns("title"), columns("text")];
  return { title: (at) => titles?.(at) ?? NOTHING, text: (at) => texts?.(at) ?? NOTHING };
}

/**
 * One Arrow IPC stream with the columns row:int32, query:utf8, title:utf8, text:utf8.
 *
 * @param queryRows the query of each pair; a query's pairs best stand together
 * @param passageRows the passage of each pair
 * @param numbers what `row` holds: the pair's number in the job
 */
export function gatherPairs(
  tables: { readonly queries: TextTable; readonly passages: TextTable },
  queryRows: Int32Array,
  passageRows: Int32Array,
  numbers: Int32Array,
): Uint8Array {
  const distinct = [...new Set(queryRows)];
  const places = new Map(distinct.map((row, place) => [row, place]));
  const queries = rowTexts(tables.queries, Int32Array.from(distinct));
  const passages = rowTexts(tables.passages, passageRows);
  const joined = distinct.map((_, place) => join(queries.title(place), queries.text(place)));
  const pairs = [...numbers.keys()];
  const columns = [
    pairs.map((at) => joined[places.get(queryRows[at] as number) as number] as Uint8Array),
    pairs.map((at) => passages.title(at)),
    pairs.map((at) => passages.text(at)),
  ];
  const children = [
    makeData({ type: new Int32(), length: numbers.length, nullCount: 0, data: numbers }),
    ...columns.map(column),
  ];
  const type = new Struct(schema.fields);
  const batch = new RecordBatch(schema, makeData({ type, length: numbers.length, nullCount: 0, children }));
  return RecordBatchStreamWriter.writeAll([batch]).toUint8Array(true);
}

/**
 * A SHA-256 over title and text of each row, DIGEST_BYTES each, in order: equal digests mean equal texts, whatever
 * their ids are and wherever they stand.
 */
export function digestTexts(table: TextTable, rows: Int32Array): Buffer {
  const digests = Buffer.alloc(rows.length * DIGEST_BYTES);
  const length = Buffer.alloc(4);
  for (const { start, rows: block } of textBlocks(table, rows)) {
    const texts = rowTexts(table, block);
    for (let at = 0; at < block.length; at += 1) {
      const title = texts.title(at);
      length.writeUInt32LE(title.byteLength);
      const hash = createHash("sha256").update(length).update(title).update(texts.text(at));
      digests.set(hash.digest(), (start + at) * DIGEST_BYTES);
    }
  }
  return digests;
}

/** As the worker joins a passage's title and text. */
function join(title: Uint8Array, text: Uint8Array): Uint8Array {
  return title.byteLength === 0 ? text : Buffer.concat([title, SPACE, text]);
}

function column(pieces: readonly Uint8Array[]) {
  const total = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  if (total > MAX_BYTES) {
    throw new QuarryError("CONFIG", `${pieces.length} pairs make more than 2 GiB.`, {
      hint: "Make units smaller with --workers.unitSize, or cut long texts into passages.",
    });
  }
  const valueOffsets = new Int32Array(pieces.length + 1);
  const data = new Uint8Array(total);
  let end = 0;
  for (const [at, piece] of pieces.entries()) {
    data.set(piece, end);
    end += piece.byteLength;
    valueOffsets[at + 1] = end;
  }
  return makeData({ type: new Utf8(), length: pieces.length, nullCount: 0, valueOffsets, data });
}
