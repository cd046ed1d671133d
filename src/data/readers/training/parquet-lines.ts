/** Reads training files in Parquet: each row becomes what a JSON line of the same shape is. */
import { isUtf8 } from "node:buffer";
import { fileError } from "../../failures.js";
import type { InputFile } from "../input.js";
import { type ParquetColumn, readRowGroups } from "../parquet-file.js";
import type { SourceFile } from "../reader.js";
import { ShapeFault, type TrainingLine } from "./line.js";
import type { LineTaker, Shape } from "./training-format.js";

const ID = /^(_?id|docid|doc_id|passage_id|query_id|qid|(positive|negative)_document_ids)$/;

/** @param lineOf makes a line of a row's fields; line numbers are row numbers, from 1. */
export async function readParquetLines(
  input: InputFile,
  file: SourceFile,
  shape: Shape,
  lineOf: (values: Readonly<Record<string, unknown>>) => TrainingLine,
  onLine: LineTaker,
  onFault: (line: number, thrown: unknown) => void,
): Promise<void> {
  const renamed = new Set(Object.values(file.fields ?? {}));
  let names: readonly string[] = [];
  const choose = (columns: readonly ParquetColumn[]): readonly string[] => {
    const read = columns.filter(({ name }) => shape.keys.test(name) || renamed.has(name));
    for (const { leaves } of read) for (const leaf of leaves) refuseInexactIds(input.path, leaf.path, leaf.type);
    if (read.length === 0) throw noColumns(input.path, shape, columns);
    names = read.map(({ name }) => name);
    return names;
  };
  await readRowGroups(input, choose, ({ firstRow, rowCount, columns }) => {
    for (let row = 0; row < rowCount; row += 1) {
      const number = firstRow + row + 1;
      let line: TrainingLine;
      try {
        line = lineOf(Object.fromEntries(columns.map((column, index) => [names[index] as string, plain(column[row])])));
      } catch (thrown) {
        onFault(number, thrown);
        continue;
      }
      onLine(line, number);
    }
  });
}

/** A value as JSON would have it, save that whole numbers stay exact. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    if (isUtf8(value)) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf8");
    throw new ShapeFault("a text is not valid UTF-8.", "Write the file again with its texts in UTF-8.");
  }
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

/** Ids in a column of fractions were whole numbers once; from 2^53 on they are others now. */
function refuseInexactIds(path: string, column: readonly string[], type: string): void {
  if ((type !== "DOUBLE" && type !== "FLOAT") || !column.some((name) => ID.test(name))) return;
  throw fileError(
    path,
    `the column ${column.join(".")} holds ids as ${type}; ids are strings or whole numbers.`,
    "Write the column as strings, or as int64.",
  );
}

function noColumns(path: string, shape: Shape, columns: readonly ParquetColumn[]): Error {
  const seen = columns.map(({ name }) => name).slice(0, 20);
  return fileError(
    path,
    `no column of the format ${shape.name} among ${seen.join(", ") || "none"}.`,
    "Name another format with { path, format }, or the columns with fields.",
  );
}
