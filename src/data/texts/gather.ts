/** Copies the bytes of chosen rows into one Arrow IPC stream; no string is decoded. */
import {
  type DataType,
  Field,
  Int32,
  makeData,
  RecordBatch,
  RecordBatchStreamWriter,
  Schema,
  Struct,
  Utf8,
} from "apache-arrow";
import { QuarryError } from "../../errors.js";
import type { StoredTexts } from "./stored-texts.js";

const MAX_BYTES = 0x7fffffff;

const schema = new Schema([
  new Field("row", new Int32(), false),
  new Field("idRank", new Int32(), false),
  new Field("title", new Utf8(), false),
  new Field("text", new Utf8(), false),
]);

/** A table in a numbering of several: its row r has the number `offset` + r. */
export interface TablePart {
  readonly table: StoredTexts;
  readonly offset: number;
}

/** The table that holds a number; parts are ascending by offset. */
export function partOf(parts: readonly TablePart[], number: number): TablePart {
  for (let index = parts.length - 1; index >= 0; index -= 1) {
    const part = parts[index] as TablePart;
    if (number >= part.offset && number < part.offset + part.table.rowCount) return part;
  }
  throw new RangeError(`row ${number} is in none of ${parts.length} tables`);
}

/**
 * An Arrow IPC stream of one batch with row:int32 (number + rowOffset), idRank:int32, title:utf8, text:utf8.
 *
 * @param numbers rows in the numbering of `parts`.
 * @throws QuarryError INTEGRITY when a row is damaged.
 */
export function gatherTexts(parts: readonly TablePart[], numbers: Int32Array, rowOffset: number): Uint8Array {
  const count = numbers.length;
  const rows = new Int32Array(count);
  const idRanks = new Int32Array(count);
  const titles: Uint8Array[] = new Array(count);
  const texts: Uint8Array[] = new Array(count);
  const titleOffsets = new Int32Array(count + 1);
  const textOffsets = new Int32Array(count + 1);
  let titleBytes = 0;
  let textBytes = 0;
  for (let at = 0; at < count; at += 1) {
    const number = numbers[at] as number;
    const { table, offset } = partOf(parts, number);
    const { title, text } = table.textBytes(number - offset);
    rows[at] = number + rowOffset;
    idRanks[at] = table.idRanks[number - offset] as number;
    titles[at] = title;
    texts[at] = text;
    titleBytes += title.byteLength;
    textBytes += text.byteLength;
    titleOffsets[at + 1] = titleBytes;
    textOffsets[at + 1] = textBytes;
  }
  if (titleBytes > MAX_BYTES || textBytes > MAX_BYTES) {
    throw new QuarryError("CONFIG", `${count} texts make more than 2 GiB.`, { hint: "Make units or batches smaller." });
  }
  const columns = [
    makeData({ type: new Int32(), length: count, nullCount: 0, data: rows }),
    makeData({ type: new Int32(), length: count, nullCount: 0, data: idRanks }),
    stringData(titles, titleOffsets, titleBytes),
    stringData(texts, textOffsets, textBytes),
  ];
  const type = new Struct<Record<string, DataType>>(schema.fields);
  const writer = new RecordBatchStreamWriter();
  writer.write(new RecordBatch(schema, makeData({ type, length: count, nullCount: 0, children: columns })));
  writer.finish();
  return writer.toUint8Array(true);
}

function stringData(pieces: readonly Uint8Array[], valueOffsets: Int32Array, byteLength: number) {
  const data = new Uint8Array(byteLength);
  for (let at = 0; at < pieces.length; at += 1) data.set(pieces[at] as Uint8Array, valueOffsets[at] as number);
  return makeData({ type: new Utf8(), length: pieces.length, nullCount: 0, valueOffsets, data });
}
