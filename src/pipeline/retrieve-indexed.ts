/** Search with a FAISS index: one built over the store's vectors and kept in the run folder, or one that was saved. */
import { rm } from "node:fs/promises";
import { resolve } from "node:path";
import type { TextTable } from "../data/types.js";
import { rowsKey } from "../embeddings/index.js";
import { QuarryError } from "../errors.js";
import type { IndexConfig, SavedIndexConfig } from "../experiment/schema.js";
import { jsonDigest } from "../json-digest.js";
import type { ModelContract } from "../protocol/messages.js";
import type { RunContext } from "./context.js";
import { describe } from "./describe.js";
import { type Embedded, wantedVectors, withVectors } from "./embed.js";
import { idsOfRows } from "./encode-work.js";
import { buildIndex, checkFaiss, type IndexManifest, idsOf, indexAt, searchIndex } from "./faiss.js";
import { writeJsonList } from "./json-list.js";
import type { RetrieveOptions } from "./retrieve.js";
import type { ReadQueries } from "./search-tiles.js";
import { storedQueries } from "./stored-queries.js";
import type { Throughput } from "./summary.js";
import { refuseTooMany, type TopK } from "./top-k.js";

/** What was found, in rows of `passages`. */
export interface IndexedRetrieval {
  readonly ranked: TopK;
  readonly passages: Pick<TextTable, "qualifiedId" | "title" | "text">;
  readonly throughput: Throughput;
}

/** FAISS hands in scores and rows as a file of 4-byte numbers each, read in one call of less than 2 GiB. */
const MOST_INDEXED = 2 ** 29 - 256;

type Wanted = Pick<RetrieveOptions, "phase" | "folder" | "model" | "source" | "queryRows" | "topK">;

/** Searches an index of the source's passages; one of the same vectors and options is built once for the run folder. */
export async function retrieveIndexed(
  context: RunContext,
  options: Wanted,
  index: IndexConfig,
): Promise<IndexedRetrieval> {
  refuseTooMany(options.queryRows.length, Math.min(options.topK, options.source.searchRows.length), MOST_INDEXED);
  const contract = await describe(context, options.model);
  await checkFaiss(context, contract);
  const queries = await storedQueries(context, options, contract);
  const { phase, folder, model, source } = options;
  const { passages, searchRows } = source;
  const wanted = wantedVectors(context, model, contract, {
    phase: `${phase}/passages`,
    plan: `${folder}/passages.plan`,
    side: "passage",
    table: passages,
    rows: searchRows,
  });
  return withVectors(context, wanted, async (embedded) => {
    const topK = Math.min(options.topK, embedded.rows.length);
    const at = context.runDir.file("indexes", `${model.label}-${keyOf(context, embedded, contract, index, passages)}`);
    const found = await searchBuilt(context, options, { at, index, contract, embedded, queries, topK });
    const rows = found.rows.map((row) => (row < 0 ? -1 : (embedded.rows[row] as number)));
    return { ranked: { ...found, rows }, passages, throughput: embedded.throughput };
  });
}

async function searchBuilt(
  context: RunContext,
  { phase, source, queryRows }: Wanted,
  made: {
    readonly at: string;
    readonly index: IndexConfig;
    readonly contract: ModelContract;
    readonly embedded: Embedded;
    readonly queries: ReadQueries;
    readonly topK: number;
  },
): Promise<TopK> {
  const { at, index, contract, embedded, queries, topK } = made;
  const { rows, view } = embedded;
  const build = (): Promise<void> =>
    context.phase(
      { phase: `${phase}/index`, label: "build the index", unit: "passages", total: rows.length },
      async () => {
        const ids = `${at}.ids.json`;
        try {
          await writeJsonList(
            ids,
            idsOfRows(rows, (row) => source.passages.qualifiedId(row)),
          );
          await buildIndex(context, { view, ids, folder: at, contract, options: index });
        } finally {
          await rm(ids, { force: true });
        }
        return { value: undefined, done: rows.length };
      },
    );
  const wanted = { folder: at, contract, queryCount: queryRows.length, queries, topK, nprobe: index.nprobe };
  const known = await indexAt(at).catch(() => null);
  if (known === null) {
    // What lies there without a manifest is the rest of an index, which the runtime would not replace.
    await rm(at, { recursive: true, force: true });
    await build();
  }
  try {
    return await search(context, phase, wanted);
  } catch (thrown) {
    if (known === null || !(thrown instanceof QuarryError) || thrown.code !== "INTEGRITY") throw thrown;
    context.events.emit({ type: "warning", message: `${thrown.message} The index is built again.`, hint: null });
  }
  // Outside the handler: what is wrong with a new index is no reason to build it again.
  await build();
  return search(context, phase, wanted);
}

/** The index that a search names. */
export async function savedIndex(
  context: RunContext,
  { folder }: SavedIndexConfig,
): Promise<IndexManifest & { readonly folder: string }> {
  const path = resolve(context.experiment.baseDir, folder);
  const manifest = await indexAt(path);
  if (manifest !== null) return { ...manifest, folder: path };
  throw new QuarryError("CONFIG", `${path} holds no index.`, { hint: "Make one with quarry encode --export faiss." });
}

/** Searches a saved index; its ids are the answer, and the source only tells their texts where it has them. */
export async function retrieveSaved(
  context: RunContext,
  options: Wanted,
  { nprobe, ef, ...saved }: SavedIndexConfig & Awaited<ReturnType<typeof savedIndex>>,
): Promise<IndexedRetrieval> {
  const topK = Math.max(1, Math.min(options.topK, saved.rowCount));
  const queryCount = options.queryRows.length;
  refuseTooMany(queryCount, topK, MOST_INDEXED);
  const contract = await describe(context, options.model);
  await checkFaiss(context, contract);
  const queries = await storedQueries(context, options, contract);
  const wanted = { folder: saved.folder, contract, queryCount, queries, topK, nprobe, ef };
  const ranked = await search(context, options.phase, wanted);
  const idOf = await idsOf(saved.folder, saved.rowCount, ranked.rows);
  const { passages } = options.source;
  const told = (row: number, text: (own: number) => string): string => {
    const own = passages.rowOfQualified(idOf(row));
    return own < 0 ? "" : text(own);
  };
  return {
    ranked,
    passages: {
      qualifiedId: idOf,
      title: (row) => told(row, (own) => passages.title(own)),
      text: (row) => told(row, (own) => passages.text(own)),
    },
    throughput: { texts: 0, seconds: 0 },
  };
}

function search(context: RunContext, phase: string, options: Parameters<typeof searchIndex>[1]): Promise<TopK> {
  const total = options.queryCount;
  return context.phase({ phase: `${phase}/search`, label: "search the index", unit: "queries", total }, async () => ({
    value: await searchIndex(context, options),
    done: total,
  }));
}

/** Everything that an index is made of; how it is searched is no part of it. */
function keyOf(
  context: RunContext,
  { rows }: Embedded,
  contract: ModelContract,
  { nprobe: _nprobe, ...index }: IndexConfig,
  passages: TextTable,
): string {
  const parts = [contract.fingerprint, context.config.embeddings.dtype, rowsKey(passages, rows), passages.fingerprint];
  return jsonDigest([...parts, index], 16);
}
