/** Turns a file of passages or queries into a cache entry: Arrow table, id index, order of ids. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { QuarryError } from "../../errors.js";
import { counted, EXAMPLE_LIMIT, fileError } from "../failures.js";
import type { InputFile } from "../readers/input.js";
import type { TextReader } from "../readers/reader.js";
import { writeChecked } from "../storage/checked-file.js";
import { FileSink, type WrittenFile } from "../storage/file-sink.js";
import { GrowingBytes, GrowingNumbers, growingInt32 } from "../storage/growing.js";
import { ArrowFile, type BatchColumns } from "./arrow-file.js";
import { BatchBuilder } from "./batch-builder.js";
import { buildIndex, type Duplicate } from "./id-index.js";
import { type IdBytes, rankIds } from "./id-order.js";

export const TABLE_FILE = "table.arrow";
export const INDEX_FILE = "ids.index";
export const RANKS_FILE = "ids.ranks";
/** Changes when the layout of the files changes. */
export const TEXTS_VERSION = "texts/1";

const count = z.int().min(0);

export const textsContent = z.strictObject({
  rowCount: count,
  fingerprint: z.string(),
  emptyTextCount: count,
  /** Lines of the first texts without content. */
  emptyTextLines: z.array(count),
  slots: count,
  tableBytes: count,
  batches: z.array(
    z.strictObject({ start: count, rowCount: count, idBytes: count, titleBytes: count, textBytes: count }),
  ),
});
export type TextsContent = z.output<typeof textsContent>;

/**
 * Reads `input` and writes the entry's files into `folder`.
 *
 * @throws QuarryError DATA for whatever the reader refuses, a file without records, and ids that occur twice.
 */
export async function buildTexts(
  input: InputFile,
  reader: TextReader,
  folder: string,
): Promise<{ files: Record<string, WrittenFile>; content: TextsContent }> {
  const table = new ArrowFile(join(folder, TABLE_FILE));
  const batch = new BatchBuilder();
  const hash = createHash("sha256").update(TEXTS_VERSION);
  const idBytes = new GrowingBytes();
  const idEnds = new GrowingNumbers((length) => new Uint32Array(length));
  const lines = growingInt32();
  const emptyTextLines: number[] = [];
  let emptyTextCount = 0;
  idEnds.push(0);

  const takeBatch = (): void => {
    const columns = batch.columns();
    if (columns.rowCount === 0) return;
    hashColumns(hash, columns);
    table.write(columns);
    batch.clear();
  };

  try {
    await reader.read(input, (record) => {
      const { id, text } = record;
      idBytes.append(id.bytes, id.start, id.end);
      idEnds.push(idBytes.length);
      lines.push(record.line);
      if (text.start === text.end) {
        emptyTextCount += 1;
        if (emptyTextLines.length < EXAMPLE_LIMIT) emptyTextLines.push(record.line);
      }
      if (batch.add(record)) takeBatch();
    });
    takeBatch();
    const rowCount = lines.length;
    if (rowCount === 0) throw fileError(input.path, "the file holds no record.", "Give a file with at least one.");
    const written = table.finish();
    const ids = { bytes: idBytes.bytes, offsets: idEnds.filled(), count: rowCount };
    const slots = indexIds(input.path, ids, lines.filled());
    const files = {
      [TABLE_FILE]: written,
      [INDEX_FILE]: writeNumbers(join(folder, INDEX_FILE), slots),
      [RANKS_FILE]: writeNumbers(join(folder, RANKS_FILE), rankIds(ids)),
    };
    const fingerprint = hash.digest("hex");
    const counts = { rowCount, emptyTextCount, slots: slots.length / 3, tableBytes: written.bytes };
    return { files, content: { ...counts, fingerprint, emptyTextLines, batches: table.places } };
  } finally {
    table.abandon();
  }
}

function hashColumns(hash: ReturnType<typeof createHash>, batch: BatchColumns): void {
  for (const { offsets, bytes } of [batch.id, batch.title, batch.text]) {
    hash.update(new Uint8Array(offsets.buffer, offsets.byteOffset, offsets.byteLength)).update(bytes);
  }
}

function indexIds(file: string, ids: IdBytes, lines: Int32Array): Int32Array {
  let duplicateCount = 0;
  const examples: Duplicate[] = [];
  const slots = buildIndex(ids, (duplicate) => {
    duplicateCount += 1;
    if (examples.length < EXAMPLE_LIMIT) examples.push(duplicate);
  });
  if (duplicateCount === 0) return slots;
  const listed = examples.map(({ row, firstRow }) => {
    const id = Buffer.from(ids.bytes.subarray(ids.offsets[row], ids.offsets[row + 1])).toString("utf8");
    return `\n  ${file}:${lines[row]}: ${JSON.stringify(id)} (first at line ${lines[firstRow]})`;
  });
  const shown = duplicateCount > examples.length ? `; the first ${examples.length}:` : ":";
  throw new QuarryError(
    "DATA",
    `${file}: ${counted(duplicateCount, "line repeats an id", "lines repeat an id")}${shown}${listed.join("")}`,
    { hint: "Give each record an id of its own, or remove the repeated lines." },
  );
}

function writeNumbers(path: string, numbers: Int32Array): WrittenFile {
  const sink = new FileSink(path);
  try {
    writeChecked(sink, [numbers]);
    return sink.finish();
  } finally {
    sink.abandon();
  }
}
