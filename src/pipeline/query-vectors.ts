/** Query vectors: encoded once, kept beside the search they serve. */
import { readFile } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { textUnits } from "../data/index.js";
import type { TextTable } from "../data/types.js";
import { QuarryError } from "../errors.js";
import type { FailedUnit } from "../pool/types.js";
import type { ModelSpec } from "../protocol/messages.js";
import { writeFileDurably } from "../rundir/durable.js";
import type { RunContext } from "./context.js";

/** Vectors of some queries, [queryCount × dimension] row by row. */
export interface QueryVectors {
  readonly vectors: Float32Array;
  readonly dimension: number;
}

interface Header {
  readonly key: string;
  readonly dimension: number;
  readonly crc: number;
}

/**
 * Encodes queries, or reads the vectors that an earlier process stored under the same key.
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
    readonly queries: TextTable;
    readonly queryRows: Int32Array;
  },
): Promise<QueryVectors> {
  const stored = await readStored(options.path, options.key, options.queryRows.length);
  if (stored !== null) return stored;
  const { queryRows, phase } = options;
  const pool = await context.pool();
  const unitSize = context.config.workers.unitSize;
  return context.phase({ phase, label: "encode queries", unit: "queries", total: queryRows.length }, async () => {
    let vectors = new Float32Array(0);
    let width = 0;
    const outcome = await pool.encode({
      phase,
      model: options.model,
      side: "query",
      units: textUnits(options.queries, queryRows, unitSize, "queries"),
      signal: context.signal,
      onVectors: async (index, unitVectors, dimension) => {
        if (width === 0) {
          width = dimension;
          vectors = new Float32Array(queryRows.length * dimension);
        }
        vectors.set(unitVectors, index * unitSize * dimension);
      },
    });
    throwFailed(outcome.failed, options.queries);
    const bytes = new Uint8Array(vectors.buffer);
    const header: Header = { key: options.key, dimension: width, crc: crc32(bytes) };
    await writeFileDurably(options.path, bytes);
    await writeFileDurably(`${options.path}.json`, JSON.stringify(header));
    return { value: { vectors, dimension: width }, done: queryRows.length };
  });
}

async function readStored(path: string, key: string, queryCount: number): Promise<QueryVectors | null> {
  const json = await readFile(`${path}.json`, "utf8").catch(() => null);
  if (json === null) return null;
  const header = JSON.parse(json) as Header;
  if (header.key !== key) return null;
  const bytes = await readFile(path).catch(() => null);
  if (bytes === null || bytes.length !== queryCount * header.dimension * 4 || crc32(bytes) !== header.crc) return null;
  const vectors = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  return { vectors, dimension: header.dimension };
}

/** Ends a step that could not do all of its work; what was finished is durable, so a second run does the rest only. */
export function throwFailed(failed: readonly FailedUnit[], table: TextTable): void {
  const first = failed[0];
  if (first === undefined) return;
  const named = [...first.rows].slice(0, 10).map((row) => {
    const { file, line } = table.origin(row);
    return `${table.id(row)} (${file}:${line})`;
  });
  const more = first.rows.length > named.length ? ` and ${first.rows.length - named.length} more` : "";
  throw new QuarryError(
    first.code,
    `${failed.length} unit${failed.length === 1 ? "" : "s"} could not be done; ${first.unit}: ${first.message}\n  texts: ${named.join(", ")}${more}`,
    { hint: "Mend or remove these texts, then run the same command again; finished passages are not done again." },
  );
}
