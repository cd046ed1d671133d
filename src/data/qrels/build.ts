/** Turns files of judgements into a cache entry: row numbers grouped by query (compressed sparse rows), no strings. */
import { join } from "node:path";
import { z } from "zod";
import { EXAMPLE_LIMIT, fileError } from "../failures.js";
import type { InputFile } from "../readers/input.js";
import type { JudgementReader } from "../readers/reader.js";
import { writeChecked } from "../storage/checked-file.js";
import { FileSink, type WrittenFile } from "../storage/file-sink.js";
import { GrowingNumbers, growingInt32 } from "../storage/growing.js";
import type { StoredTexts } from "../texts/stored-texts.js";
import { UnknownIds } from "./unknown-ids.js";

export const QRELS_FILE = "qrels.rows";
/** Changes when the layout of the file changes. */
export const QRELS_VERSION = "qrels/1";

const count = z.int().min(0);

export const qrelsContent = z.strictObject({
  queryCount: count,
  judgementCount: count,
  fileCount: count,
  /** Lines that a later line of the same file replaced. */
  repeatedCount: count,
  repeatedExamples: z.array(z.strictObject({ file: count, line: count })),
});
export type QrelsContent = z.output<typeof qrelsContent>;

/** One file of judgements and who reads it. */
export interface QrelsInput {
  readonly input: InputFile;
  readonly reader: JudgementReader;
}

interface Triplets {
  readonly queries: Int32Array;
  readonly passages: Int32Array;
  readonly scores: Float32Array;
  readonly lines: Int32Array;
  readonly files: Int32Array;
}

/**
 * Reads all files in order and writes the entry into `folder`: offsets [queries + 1], then passage rows, scores, lines
 * and (with several files) file numbers, each [judgements], a query's judgements in the order they were read.
 *
 * @throws QuarryError DATA for what a reader refuses, for unknown ids (all counted), and for files without judgements.
 */
export async function buildQrels(
  inputs: readonly QrelsInput[],
  tables: { readonly queries: StoredTexts; readonly passages: StoredTexts },
  folder: string,
): Promise<{ files: Record<string, WrittenFile>; content: QrelsContent }> {
  const triplets = await readTriplets(inputs, tables);
  const queryCount = tables.queries.rowCount;
  const { order, offsets } = groupByQuery(triplets.queries, queryCount);
  const { kept, keptOffsets, repeated } = dropReplaced(triplets, order, offsets, tables.passages.rowCount);
  const pick = (from: Int32Array): Int32Array => kept.map((index) => from[index] as number);
  const arrays: (Int32Array | Float32Array)[] = [
    keptOffsets,
    pick(triplets.passages),
    Float32Array.from(kept, (index) => triplets.scores[index] as number),
    pick(triplets.lines),
  ];
  if (inputs.length > 1) arrays.push(pick(triplets.files));
  const sink = new FileSink(join(folder, QRELS_FILE));
  try {
    writeChecked(sink, arrays);
    const repeatedExamples = [...repeated.subarray(0, EXAMPLE_LIMIT)].map((index) => ({
      file: triplets.files[index] as number,
      line: triplets.lines[index] as number,
    }));
    return {
      files: { [QRELS_FILE]: sink.finish() },
      content: {
        queryCount,
        judgementCount: kept.length,
        fileCount: inputs.length,
        repeatedCount: repeated.length,
        repeatedExamples,
      },
    };
  } finally {
    sink.abandon();
  }
}

async function readTriplets(
  inputs: readonly QrelsInput[],
  tables: { readonly queries: StoredTexts; readonly passages: StoredTexts },
): Promise<Triplets> {
  const queries = growingInt32();
  const passages = growingInt32();
  const scores = new GrowingNumbers((length) => new Float32Array(length));
  const lines = growingInt32();
  const files = growingInt32();
  const unknown = new UnknownIds();
  for (const [file, { input, reader }] of inputs.entries()) {
    let seen = 0;
    await reader.read(input, (record) => {
      seen += 1;
      const { query, passage } = record;
      const queryRow = tables.queries.rowOfBytes(query.bytes, query.start, query.end);
      const passageRow = tables.passages.rowOfBytes(passage.bytes, passage.start, passage.end);
      if (queryRow < 0) unknown.add("query", input.path, record.line, query);
      if (passageRow < 0) unknown.add("passage", input.path, record.line, passage);
      if (queryRow < 0 || passageRow < 0) return;
      queries.push(queryRow);
      passages.push(passageRow);
      scores.push(record.score);
      lines.push(record.line);
      files.push(file);
    });
    if (seen === 0) throw fileError(input.path, "the file holds no judgement.", "Give a file with at least one.");
  }
  unknown.throwIfAny();
  return {
    queries: queries.filled(),
    passages: passages.filled(),
    scores: scores.filled(),
    lines: lines.filled(),
    files: files.filled(),
  };
}

/** Counting sort, so the order inside a query is the order of reading. */
function groupByQuery(queries: Int32Array, queryCount: number): { order: Int32Array; offsets: Int32Array } {
  const offsets = new Int32Array(queryCount + 1);
  for (const query of queries) offsets[query + 1] = (offsets[query + 1] as number) + 1;
  for (let query = 0; query < queryCount; query += 1) {
    offsets[query + 1] = (offsets[query + 1] as number) + (offsets[query] as number);
  }
  const next = offsets.slice();
  const order = new Int32Array(queries.length);
  for (let index = 0; index < queries.length; index += 1) {
    const query = queries[index] as number;
    order[next[query] as number] = index;
    next[query] = (next[query] as number) + 1;
  }
  return { order, offsets };
}

/** Of several judgements of a pair the last one stays, at its own place. */
function dropReplaced(
  triplets: Triplets,
  order: Int32Array,
  offsets: Int32Array,
  passageCount: number,
): { kept: Int32Array; keptOffsets: Int32Array; repeated: Int32Array } {
  const lastPlace = new Int32Array(passageCount).fill(-1);
  const isReplaced = new Uint8Array(order.length);
  const repeated = growingInt32();
  const keptOffsets = new Int32Array(offsets.length);
  let keptCount = 0;
  for (let query = 0; query + 1 < offsets.length; query += 1) {
    const first = offsets[query] as number;
    const end = offsets[query + 1] as number;
    for (let place = first; place < end; place += 1) {
      const index = order[place] as number;
      const passage = triplets.passages[index] as number;
      const before = lastPlace[passage] as number;
      if (before >= first) {
        isReplaced[before] = 1;
        keptCount -= 1;
        if (triplets.files[order[before] as number] === triplets.files[index]) repeated.push(index);
      }
      lastPlace[passage] = place;
      keptCount += 1;
    }
    keptOffsets[query + 1] = keptCount;
  }
  return { kept: order.filter((_, place) => isReplaced[place] === 0), keptOffsets, repeated: repeated.filled() };
}
