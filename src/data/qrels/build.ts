/** Turns files of judgements into a cache entry: row numbers grouped by query (compressed sparse rows), no strings. */
import { join } from "node:path";
import { z } from "zod";
import { EXAMPLE_LIMIT } from "../failures.js";
import { BadLines, FindingCounter, type StoredFinding, storedFinding } from "../findings.js";
import { decode } from "../readers/json-line.js";
import type { JudgementRecord, Span } from "../readers/reader.js";
import type { SourceInput } from "../source-reading.js";
import { CheckedWriter } from "../storage/checked-writer.js";
import { FileSink, type WrittenFile } from "../storage/file-sink.js";
import type { StoredTexts } from "../texts/stored-texts.js";
import { BATCH_IDS, BulkIds } from "./bulk-ids.js";
import { type Grouped, groupTriplets, takeTurns } from "./group.js";
import { TripletLog } from "./triplet-log.js";

export const QRELS_FILE = "qrels.rows";
/** Changes when the layout of the file, or what is kept of repeated pairs, changes. */
export const QRELS_VERSION = "qrels/4";

const count = z.int().min(0);

export const qrelsContent = z.strictObject({
  queryCount: count,
  judgementCount: count,
  /** Judgements in the files, those that name unknown ids and those that later ones replaced among them. */
  readCount: count,
  fileCount: count,
  /** Judgements that a later line of the same file replaced with another score. */
  repeatedCount: count,
  /** The first ten of these later lines. */
  repeatedExamples: z.array(z.strictObject({ file: count, line: count })),
  /** Judgements that a later file replaced: what several files in one source are for. */
  overriddenCount: count,
  findings: z.array(storedFinding),
});
export type QrelsContent = z.output<typeof qrelsContent>;

interface Tables {
  readonly queries: StoredTexts;
  readonly passages: StoredTexts;
}

/** Judgements that are written before other work has its turn. */
const TURN = 1 << 20;

/**
 * Reads all files in order and writes the entry into `folder`: offsets [queries + 1], the lowest and the highest score
 * of each query [queries], then passage rows, scores, lines and (with several files) file numbers, each [judgements],
 * a query's judgements in the order they were read. Of a pair that is judged again the last judgement counts, at the
 * place of the first.
 *
 * Judgements that name unknown ids are counted and left out. Takes 20 bytes of memory a judgement.
 *
 * @throws QuarryError DATA for what a reader refuses, and for files without judgements.
 */
export async function buildQrels(
  inputs: readonly SourceInput[],
  tables: Tables,
  folder: string,
  signal?: AbortSignal,
): Promise<{ files: Record<string, WrittenFile>; content: QrelsContent }> {
  const { log, findings, readCount } = await readTriplets(inputs, tables);
  const grouped = await groupTriplets(log, tables.queries.rowCount, signal);
  const sink = new FileSink(join(folder, QRELS_FILE));
  try {
    await writeColumns(sink, log, grouped, inputs.length > 1, signal);
    return {
      files: { [QRELS_FILE]: sink.finish() },
      content: {
        queryCount: tables.queries.rowCount,
        judgementCount: grouped.order.length,
        readCount,
        fileCount: inputs.length,
        repeatedCount: grouped.repeatedCount,
        repeatedExamples: grouped.repeated.map((index) => ({ file: log.file(index), line: log.line(index) })),
        overriddenCount: grouped.overriddenCount,
        findings,
      },
    };
  } finally {
    sink.abandon();
  }
}

async function readTriplets(
  inputs: readonly SourceInput[],
  tables: Tables,
): Promise<{ log: TripletLog; findings: StoredFinding[]; readCount: number }> {
  const log = new TripletLog();
  let readCount = 0;
  const bad = new BadLines();
  const unknown = new FindingCounter("danglingIds", ["unknown id", "unknown ids"]);
  const batch = new Batch(log, tables, unknown);
  for (const [number, { input, file, format }] of inputs.entries()) {
    let seen = 0;
    bad.watch(input, number);
    log.startFile();
    // formatOf refused formats that have no judgements.
    await format.readJudgements?.(input, file, (record) => {
      seen += 1;
      batch.add(record, number);
    });
    batch.flush(number);
    readCount += seen;
    if (seen === 0) throw bad.nothingIn(input.path, "judgement");
  }
  return { log, findings: [bad, unknown].flatMap((each) => each.stored() ?? []), readCount };
}

/** Judgements of one file whose passages are looked up together. */
class Batch {
  readonly #queries: RepeatedIds;
  readonly #passages: BulkIds;
  readonly #queryRows = new Int32Array(BATCH_IDS);
  readonly #scores = new Float32Array(BATCH_IDS);
  readonly #lines = new Int32Array(BATCH_IDS);
  /** Query ids of the batch that nobody knows, by place. */
  readonly #unknownQueries = new Map<number, string>();
  #count = 0;

  constructor(
    private readonly log: TripletLog,
    tables: Tables,
    private readonly unknown: FindingCounter,
  ) {
    this.#queries = new RepeatedIds(tables.queries);
    this.#passages = new BulkIds(tables.passages);
  }

  add({ query, passage, line, score }: JudgementRecord, file: number): void {
    const at = this.#count;
    const queryRow = this.#queries.rowOf(query);
    if (queryRow < 0 && this.unknown.count + this.#unknownQueries.size < EXAMPLE_LIMIT) {
      this.#unknownQueries.set(at, decode(query));
    }
    this.#queryRows[at] = queryRow;
    this.#scores[at] = score;
    this.#lines[at] = line;
    this.#passages.add(passage.bytes, passage.start, passage.end);
    this.#count += 1;
    if (this.#passages.isFull) this.flush(file);
  }

  flush(file: number): void {
    const rows = this.#passages.resolve();
    for (let at = 0; at < rows.length; at += 1) {
      const query = this.#queryRows[at] as number;
      const passage = rows[at] as number;
      const line = this.#lines[at] as number;
      const name = (id: string): string => JSON.stringify(id);
      if (query < 0) this.unknown.add(file, line, () => `unknown query id ${name(this.#unknownQueries.get(at) ?? "")}`);
      if (passage < 0) this.unknown.add(file, line, () => `unknown passage id ${name(this.#passages.id(at))}`);
      if (query >= 0 && passage >= 0) this.log.add(query, passage, this.#scores[at] as number, line);
    }
    this.#unknownQueries.clear();
    this.#count = 0;
  }
}

/** Looks ids up, and remembers the last one: files sorted by query name the same query many times in a row. */
class RepeatedIds {
  readonly #last = new Uint8Array(256);
  #length = -1;
  #row = -1;

  constructor(private readonly table: StoredTexts) {}

  rowOf({ bytes, start, end }: Span): number {
    const length = end - start;
    if (length === this.#length) {
      let at = 0;
      while (at < length && this.#last[at] === bytes[start + at]) at += 1;
      if (at === length) return this.#row;
    }
    this.#row = this.table.rowOfBytes(bytes, start, end);
    this.#length = length <= this.#last.length ? length : -1;
    for (let at = 0; at < this.#length; at += 1) this.#last[at] = bytes[start + at] as number;
    return this.#row;
  }
}

async function writeColumns(
  sink: FileSink,
  log: TripletLog,
  { offsets, order }: Grouped,
  hasFiles: boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  const writer = new CheckedWriter(sink);
  for (const offset of offsets) writer.int32(offset);
  await takeTurns(signal);
  const lowest = new Float32Array(offsets.length - 1).fill(Number.POSITIVE_INFINITY);
  const highest = new Float32Array(offsets.length - 1).fill(Number.NEGATIVE_INFINITY);
  for (let query = 0; query + 1 < offsets.length; query += 1) {
    for (let place = offsets[query] as number; place < (offsets[query + 1] as number); place += 1) {
      const score = log.score(order[place] as number);
      if (score < (lowest[query] as number)) lowest[query] = score;
      if (score > (highest[query] as number)) highest[query] = score;
    }
  }
  for (const score of lowest) writer.float32(score);
  for (const score of highest) writer.float32(score);
  const column = async (write: (index: number) => void): Promise<void> => {
    for (let place = 0; place < order.length; place += 1) {
      write(order[place] as number);
      if (place % TURN === TURN - 1) await takeTurns(signal);
    }
  };
  await column((index) => writer.int32(log.passage(index)));
  await column((index) => writer.float32(log.score(index)));
  await column((index) => writer.int32(log.line(index)));
  if (hasFiles) await column((index) => writer.int32(log.file(index)));
  writer.finish();
}
