/** Turns files of passages or queries into a cache entry: Arrow table, id index, order of ids. */
import { z } from "zod";
import { BadLines, type StoredFinding, storedFinding } from "../findings.js";
import { UnseenExtras } from "../readers/extras.js";
import type { SourceInput } from "../source-reading.js";
import type { WrittenFile } from "../storage/file-sink.js";
import { BatchBuilder, type OptionalColumns } from "./batch-builder.js";
import type { IndexLimits } from "./id-index.js";
import { tableTarget, threadFile } from "./table-target.js";
import { EMPTY_FILE, type Place, type Places, TABLE_FILE, type WrittenTable } from "./table-writer.js";

const count = z.int().min(0);

export const textsContent = z.strictObject({
  rowCount: count,
  fingerprint: z.string(),
  findings: z.array(storedFinding),
  /** Rows of texts without content; which ones, says a file of the entry. */
  emptyCount: count,
  /** The first row of each source file. */
  fileStarts: z.array(count),
  hasPrompts: z.boolean(),
  hasExtras: z.boolean().default(false),
  slots: count,
  tableBytes: count,
  batches: z.array(
    z.strictObject({
      start: count,
      rowCount: count,
      idBytes: count,
      titleBytes: count,
      textBytes: count,
      promptBytes: count,
      extrasBytes: count.default(0),
    }),
  ),
});
export type TextsContent = z.output<typeof textsContent>;

/** How a table is built. */
export interface BuildOptions {
  readonly signal?: AbortSignal | undefined;
  /** How much of what follows the reading is done, 0 to 1. */
  readonly onFinishing?: (share: number) => void;
  /** What the writing thread runs; null: no thread. Default: as the size of the files suggests. */
  readonly thread?: URL | null | undefined;
  readonly limits?: IndexLimits;
}

/**
 * Reads all files in order and writes the entry's files into `folder`. Faults are counted, not judged: of records with
 * equal ids the first one stays.
 *
 * @throws QuarryError DATA for whatever a reader refuses and for a file without records.
 */
export async function buildTexts(
  inputs: readonly SourceInput[],
  role: "corpus" | "queries",
  folder: string,
  options: BuildOptions = {},
): Promise<{ files: Record<string, WrittenFile>; content: TextsContent }> {
  const hasPrompts = inputs.some(({ format }) => format.hasPrompts === true || format.hasPrompts === role);
  const hasExtras = inputs.some(({ file }) => file.extras !== undefined);
  const columns = { hasPrompts, hasExtras };
  const mayRepeat = inputs.map(({ format }) => format.mayRepeat === true);
  const totalBytes = inputs.reduce((sum, { size }) => sum + size, 0);
  const thread = options.thread === undefined ? threadFile(totalBytes) : options.thread;
  const builder = new BatchBuilder(columns);
  const paths = inputs.map(({ input }) => input.path);
  const plan = { folder, paths, ...columns, mayRepeat, limits: options.limits };
  const target = tableTarget(plan, builder, thread, options.signal);
  const bad = new BadLines();
  try {
    let bytesBefore = 0;
    for (const [number, { input, file, format, size }] of inputs.entries()) {
      let seen = 0;
      const flush = (share: number): void => {
        const batch = builder.take(number, share);
        if (batch !== null) target.put(batch);
      };
      const unseen = new UnseenExtras(file);
      bad.watch(input, number);
      input.onChunk(() => target.room());
      // formatOf refused formats that have no texts.
      await format.readTexts?.(input, file, role, (record) => {
        seen += 1;
        unseen.see(record);
        if (builder.add(record, input.path)) flush((bytesBefore + input.bytesRead) / totalBytes);
      });
      if (seen === 0) throw bad.nothingIn(input.path, "record");
      unseen.check();
      bytesBefore += size;
      flush(bytesBefore / totalBytes);
    }
    const written = await target.finish(options.onFinishing ?? (() => {}));
    return { files: written.files, content: contentOf(written, inputs, columns, bad) };
  } finally {
    await target.abandon();
  }
}

function contentOf(
  written: WrittenTable,
  inputs: readonly SourceInput[],
  columns: OptionalColumns,
  bad: BadLines,
): TextsContent {
  const { files, repeated, empty, ...rest } = written;
  const repeatedDetail = ({ file, id, first }: Place): string => {
    const elsewhere = first?.file === file ? "" : `${inputs[first?.file ?? 0]?.input.path}, `;
    return `${JSON.stringify(id)} (first in ${elsewhere}line ${first?.line})`;
  };
  const findings = [
    bad.stored(),
    found("duplicateIds", ["record repeats an id", "records repeat an id"], repeated, repeatedDetail),
    found("emptyTexts", ["record has an empty text", "records have an empty text"], empty, ({ id }) =>
      JSON.stringify(id),
    ),
  ].filter((each) => each !== null);
  const tableBytes = files[TABLE_FILE]?.bytes ?? 0;
  return { ...rest, findings, emptyCount: files[EMPTY_FILE] === undefined ? 0 : empty.count, ...columns, tableBytes };
}

function found(
  kind: StoredFinding["kind"],
  words: [string, string],
  { count: total, examples }: Places,
  detail: (place: Place) => string,
): StoredFinding | null {
  if (total === 0) return null;
  const placed = examples.map((each) => ({ file: each.file, line: each.line, detail: detail(each) }));
  return { kind, words, count: total, examples: placed };
}
