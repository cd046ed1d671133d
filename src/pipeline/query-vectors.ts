/** Query vectors of a search without the store: encoded once, kept beside the search they serve. */
import { readFile } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { textUnits } from "../data/index.js";
import type { TextTable } from "../data/types.js";
import type { ModelSpec } from "../protocol/messages.js";
import { writeFileDurably } from "../rundir/durable.js";
import { jsonOrNull } from "../rundir/jsonl.js";
import { unitSizeOf } from "./batch-size.js";
import type { RunContext } from "./context.js";
import { leaveOut, throwFailed } from "./failed-units.js";

interface Header {
  readonly key: string;
  readonly dimension: number;
  readonly crc: number;
}

/**
 * Encodes queries, [queryCount × dimension], or reads the vectors that an earlier process stored under the same key.
 *
 * @param key everything that determines the vectors
 * @param path where the vectors lie: raw float32 in `path`, their header in `path`.json, written last
 */
export async function queryVectors(
  context: RunContext,
  options: {
    readonly phase: string;
    readonly path: string;
    readonly key: string;
    readonly model: ModelSpec;
    readonly batchSize: number;
    readonly queries: TextTable;
    readonly queryRows: Int32Array;
  },
): Promise<Float32Array> {
  const stored = await readStored(options.path, options.key, options.queryRows.length);
  if (stored !== null) return stored;
  const { queryRows, phase, model, batchSize, queries } = options;
  const pool = await context.pool();
  const unitSize = unitSizeOf(context.config.workers, batchSize);
  return context.phase({ phase, label: "encode queries", unit: "queries", total: queryRows.length }, async () => {
    let vectors = new Float32Array(0);
    let width = 0;
    const outcome = await pool.encode({
      phase,
      model,
      side: "query",
      batchSize,
      units: textUnits(queries, queryRows, unitSize, "queries"),
      signal: context.signal,
      onVectors: async (index, { bytes, dimension }) => {
        if (width === 0) {
          width = dimension;
          vectors = new Float32Array(queryRows.length * dimension);
        }
        new Uint8Array(vectors.buffer).set(bytes, index * unitSize * dimension * 4);
      },
    });
    if (outcome.failed.length > 0) {
      const job = { phase, model, side: "query", batchSize, table: queries, scope: options.key } as const;
      await leaveOut(context, job, outcome.failed);
      throwFailed(outcome.failed);
    }
    const bytes = new Uint8Array(vectors.buffer);
    const header: Header = { key: options.key, dimension: width, crc: crc32(bytes) };
    await writeFileDurably(options.path, bytes);
    await writeFileDurably(`${options.path}.json`, JSON.stringify(header));
    return { value: vectors, done: queryRows.length };
  });
}

async function readStored(path: string, key: string, queryCount: number): Promise<Float32Array | null> {
  const json = await readFile(`${path}.json`, "utf8").catch(() => null);
  if (json === null) return null;
  // Null where the file is damaged: its vectors are encoded again.
  const header = jsonOrNull(json) as Header | null;
  if (header?.key !== key) return null;
  const bytes = await readFile(path).catch(() => null);
  if (bytes === null || bytes.length !== queryCount * header.dimension * 4 || crc32(bytes) !== header.crc) return null;
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}
