/** FAISS indexes in folders: built from stored vectors and searched by the runtime's `index` command. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { countUp, keepRows } from "../data/index.js";
import { InputFile } from "../data/readers/input.js";
import { readElements } from "../data/readers/json-elements.js";
import { GrowingBytes, GrowingNumbers } from "../data/storage/growing.js";
import { placeOf } from "../data/views/ascending.js";
import type { VectorView } from "../embeddings/index.js";
import { QuarryError } from "../errors.js";
import type { IndexConfig } from "../experiment/schema.js";
import type { ModelContract } from "../protocol/messages.js";
import type { RunContext } from "./context.js";
import { exportNpy, writeNpy } from "./export-vectors.js";
import { readNpy } from "./npy.js";
import { inTemporaryFolder, runtimeAnswer } from "./runtime-command.js";
import type { ReadQueries } from "./search-tiles.js";
import type { TopK } from "./top-k.js";

/** Queries whose vectors are written at a time. */
const QUERY_ROWS = 65_536;

/** What of an index's manifest is of use here; the runtime checks the whole of it. */
export interface IndexManifest {
  readonly rowCount: number;
  /** Over the file as it is: another index has another one. */
  readonly digest: string;
}

/**
 * Sees that FAISS can be used, before hours of encoding.
 *
 * @throws QuarryError ENVIRONMENT when it is not installed; CONFIG for a similarity that it does not have.
 */
export async function checkFaiss(context: RunContext, { similarity }: ModelContract): Promise<void> {
  await runtimeAnswer(context, "index", ["check"], "FAISS could not be loaded");
  if (similarity === "dot" || similarity === "cosine") return;
  throw new QuarryError("CONFIG", `a FAISS index compares by dot or cosine, and the model by ${similarity}`, {
    hint: 'Leave search.index at "exact", or export npy or parquet.',
  });
}

/**
 * Builds an index of a view's vectors; a folder that holds an index is replaced.
 *
 * `ids` is a file: a JSON list in the order of the vectors.
 */
export async function buildIndex(
  context: RunContext,
  {
    view,
    ids,
    folder,
    contract,
    options,
  }: {
    readonly view: VectorView;
    readonly ids: string;
    readonly folder: string;
    readonly contract: ModelContract;
    readonly options: IndexConfig;
  },
): Promise<void> {
  // Beside the index: a matrix may be larger than the disk of temporary files.
  const parts = `${folder}.vectors`;
  await mkdir(parts, { recursive: true });
  try {
    const [vectors, scales] = [join(parts, "vectors.npy"), join(parts, "scales.npy")];
    const hasScales = await exportNpy(view, vectors, scales);
    const { similarity, normalize, fingerprint } = contract;
    await runtimeAnswer(
      context,
      "index",
      [
        "build",
        ...flags({ vectors, scales: hasScales ? scales : undefined, ids, fingerprint, out: folder }),
        ...flags({ metric: similarity === "cosine" && !normalize ? "cosine" : "dot" }),
        ...flags({ ...options, threads: context.config.workers.threads }),
      ],
      "the index could not be built",
    );
  } finally {
    await rm(parts, { recursive: true, force: true });
  }
}

/**
 * Searches an index; rows are places in its list of ids.
 *
 * @throws QuarryError CONFIG for an index of another model, INTEGRITY for damaged files.
 */
export async function searchIndex(
  context: RunContext,
  {
    folder,
    contract,
    queryCount,
    queries,
    topK,
    nprobe,
    ef,
  }: {
    readonly folder: string;
    readonly contract: ModelContract;
    readonly queryCount: number;
    readonly queries: ReadQueries;
    readonly topK: number;
    readonly nprobe?: number | undefined;
    readonly ef?: number | undefined;
  },
): Promise<TopK> {
  const { dimension, fingerprint } = contract;
  return inTemporaryFolder(async (temporary) => {
    const path = join(temporary, "queries.npy");
    await writeNpy(path, "<f4", [queryCount, dimension], async function* () {
      for (let from = 0; from < queryCount; from += QUERY_ROWS) {
        const part = await queries(from, Math.min(queryCount, from + QUERY_ROWS));
        yield new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
      }
    });
    const { threads } = context.config.workers;
    const named = { index: folder, queries: path, k: topK, nprobe, ef, fingerprint, threads, out: temporary };
    await runtimeAnswer(context, "index", ["search", ...flags(named)], "the index could not be searched");
    const scores = new Float32Array(await readNpy(join(temporary, "scores.npy"), "<f4", [queryCount, topK]));
    const rows = new Int32Array(await readNpy(join(temporary, "rows.npy"), "<i4", [queryCount, topK]));
    return { queryCount, topK, scores, rows };
  });
}

/** Looks at an index without reading it; null where none is. */
export async function indexAt(folder: string): Promise<IndexManifest | null> {
  const text = await readFile(join(folder, "manifest.json"), "utf8").catch(() => null);
  if (text === null) return null;
  const digest = createHash("sha256").update(text).digest("hex");
  try {
    const { rowCount } = JSON.parse(text) as { readonly rowCount: unknown };
    if (typeof rowCount === "number") return { rowCount, digest };
  } catch {
    // Told below, as a manifest without a count is.
  }
  throw new QuarryError("INTEGRITY", `${folder} has a manifest.json that is none.`, { hint: "Build the index again." });
}

/**
 * The ids of some rows of an index; only after a search, which has compared their checksum.
 *
 * @param found rows in any order, perhaps repeated, -1 for none; of others the ids are not kept
 */
export async function idsOf(folder: string, rowCount: number, found: Int32Array): Promise<(row: number) => string> {
  const isFound = new Uint8Array(rowCount);
  for (const row of found) if (row >= 0) isFound[row] = 1;
  const rows = keepRows(countUp(rowCount), (row) => isFound[row] === 1);
  // As JSON in one array: a string each would be more than V8's heap holds, and the file more than one string.
  const kept = new GrowingBytes();
  const ends = new GrowingNumbers((length) => new Uint32Array(length));
  let row = 0;
  await readElements(new InputFile(join(folder, "ids.json")), (bytes, start, end) => {
    if (isFound[row] === 1) {
      kept.append(bytes, start, end);
      ends.push(kept.length);
    }
    row += 1;
  });
  return (wanted) => {
    const place = placeOf(rows, wanted);
    if (rows[place] !== wanted) throw new RangeError(`row ${wanted} is none of those that were found`);
    const start = place === 0 ? 0 : ends.numbers[place - 1];
    return JSON.parse(Buffer.from(kept.bytes.subarray(start, ends.numbers[place])).toString("utf8")) as string;
  };
}

function flags(values: Readonly<Record<string, string | number | undefined>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [`--${name}`, String(value)]));
}
