/** What encoding is asked for and what it leaves, with the store and without. */
import type { TextTable } from "../data/types.js";
import type { EncodeConfig } from "../experiment/schema.js";
import type { RunContext } from "./context.js";
import { writeJsonList } from "./json-list.js";
import type { ModelChoice } from "./step.js";
import type { Throughput } from "./summary.js";

/** What is to be encoded. */
export interface EncodeWork {
  readonly step: string;
  readonly model: ModelChoice;
  readonly options: EncodeConfig;
  readonly table: TextTable;
  readonly rows: Int32Array;
}

/** What encoding wrote; paths are relative to the run folder. */
export interface EncodeResult {
  /** The file of vectors, or the folder of an index, as `encode.export` says; null where only the store was filled. */
  readonly vectors: string | null;
  /** float32 [rowCount], readable by numpy.load: vector ≈ scale × codes; null but for int8. */
  readonly scales: string | null;
  /** JSON list of the ids, in the order of the rows. */
  readonly ids: string;
  readonly rowCount: number;
  readonly throughput: Throughput;
}

/** The ids of rows, one after the other: all of them as strings are several times their bytes. */
export function* idsOfRows(rows: Int32Array, idOf: (row: number) => string): Generator<string> {
  for (const row of rows) yield idOf(row);
}

/** Writes the ids of what was encoded, in the order of the vectors. */
export async function writeIds(context: RunContext, work: EncodeWork, rows: Int32Array): Promise<string> {
  const { step, table, options } = work;
  const file = `${step}/ids.json`;
  // Queries with equal ids are the same query: theirs are never ambiguous.
  const idOf = (row: number): string => (options.side === "query" ? table.id(row) : table.qualifiedId(row));
  await writeJsonList(context.runDir.file(file), idsOfRows(rows, idOf));
  return file;
}
