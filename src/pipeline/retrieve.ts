/** Exact search of a source's queries over all of its passages: what evaluation, mining and reranking share. */
import { createHash } from "node:crypto";
import { hashRows, textUnits } from "../data/index.js";
import type { PreparedSource } from "../data/types.js";
import type { TrackedPairs, UnitList } from "../pool/types.js";
import type { ModelContract } from "../protocol/messages.js";
import { batchSizeOf, unitSizeOf } from "./batch-size.js";
import type { RunContext } from "./context.js";
import { describe } from "./describe.js";
import { type Embedded, wantedVectors, withVectors } from "./embed.js";
import { leaveOut, leftOutBefore } from "./failed-units.js";
import { queryVectors } from "./query-vectors.js";
import { type Found, searchTiles, tileOf } from "./search-tiles.js";
import type { ModelChoice } from "./step.js";
import { storedQueries } from "./stored-queries.js";
import type { Throughput } from "./summary.js";
import { refuseTooMany, type TopK } from "./top-k.js";

/** What to search for. */
export interface RetrieveOptions {
  readonly phase: string;
  /** Folder in the run folder that keeps plans and snapshots. */
  readonly folder: string;
  readonly model: ModelChoice;
  readonly source: PreparedSource;
  readonly queryRows: Int32Array;
  readonly topK: number;
  /** Pairs whose scores are wanted also outside the best, in any order; `queries` counts places in queryRows. */
  readonly tracked?: TrackedPairs;
  /** Queries searched for at a time; default: as many as tileOf() allows. */
  readonly tileQueries?: number;
}

export interface Retrieval {
  readonly ranked: TopK;
  /** Scores of `tracked` in its order, NaN for passages that are not searched; null without pairs. */
  readonly trackedScores: Float32Array | null;
  /** What was encoded in this call; vectors that were known are left out. */
  readonly throughput: Throughput;
}

/**
 * The best passages of each query. Vectors come from the store, which is filled first; without it (`embeddings.store:
 * false`) passages are encoded and searched in one go, and nothing of them is kept.
 *
 * Whatever an earlier, killed call made durable is not done again.
 *
 * @example
 * const { ranked, trackedScores } = await retrieve(context, { ...options, tracked: { queries, rows } });
 */
export async function retrieve(context: RunContext, options: RetrieveOptions): Promise<Retrieval> {
  refuseTooMany(options.queryRows.length, Math.min(options.topK, options.source.searchRows.length));
  const contract = await describe(context, options.model);
  return (context.config.embeddings.store ? searchStored : searchStreaming)(context, options, contract);
}

async function searchStored(
  context: RunContext,
  options: RetrieveOptions,
  contract: ModelContract,
): Promise<Retrieval> {
  const { phase, folder, source } = options;
  const { passages, searchRows } = source;
  const queries = await storedQueries(context, options, contract);
  const wanted = wantedVectors(context, options.model, contract, {
    phase: `${phase}/passages`,
    plan: `${folder}/passages.plan`,
    side: "passage",
    table: passages,
    rows: searchRows,
  });
  return withVectors(context, wanted, async (embedded) => toRetrieval(await search(embedded), embedded.throughput));

  function search({ view, rows }: Embedded): Promise<Found> {
    const topK = Math.min(options.topK, rows.length);
    return searchTiles(context, {
      phase: `${phase}/search`,
      label: "search passages",
      folder,
      key: ["vectors by length", contract.fingerprint, passages.fingerprint, digest(rows), view.unitRows],
      units: view.units(passages.idRanks, "vectors"),
      model: null,
      contract,
      plugins: wanted.model.plugins,
      vectorDtype: wanted.dtype,
      queryCount: options.queryRows.length,
      queries,
      topK,
      passages,
      tracked: options.tracked,
      tileQueries: options.tileQueries ?? tileOf(topK, contract.dimension, true),
    });
  }
}

async function searchStreaming(
  context: RunContext,
  options: RetrieveOptions,
  contract: ModelContract,
): Promise<Retrieval> {
  const { phase, folder, source, queryRows } = options;
  const { passages, queries, searchRows } = source;
  const model = context.modelSpec(options.model.checkpoint);
  const batchSize = await batchSizeOf(context, options.model, passages, searchRows);
  const unitSize = unitSizeOf(context.config.workers, batchSize);
  const key = [contract.fingerprint, queries.fingerprint, passages.fingerprint, batchSize, unitSize];
  const scope = `${contract.fingerprint}/${passages.fingerprint}`;
  const unitsWithout = (leftOut: ReadonlySet<number>): UnitList =>
    textUnits(passages, searchRows, unitSize, "passages", leftOut);
  const topK = Math.min(options.topK, searchRows.length);
  const tileQueries = options.tileQueries ?? tileOf(topK, contract.dimension, false);
  const tileCount = Math.ceil(queryRows.length / tileQueries);
  const readQueries = (from: number, to: number): Promise<Float32Array> => {
    const rows = queryRows.subarray(from, to);
    return queryVectors(context, {
      phase: `${phase}/queries`,
      path: context.runDir.file(folder, tileCount > 1 ? `queries-${from}.f32` : "queries.f32"),
      key: JSON.stringify([key, digest(rows)]),
      model,
      batchSize,
      queries,
      queryRows: rows,
    });
  };
  if (tileCount > 1) {
    const message = `${queryRows.length} queries are searched for in ${tileCount} parts, each of which encodes all passages.`;
    const hint = "Search for fewer queries, or with a lower topK; with embeddings.store passages are encoded once.";
    context.events.emit({ type: "warning", message, hint });
  }
  // All of them before any passage: what is wrong with a query is told at once. Those of one part are kept.
  const only = tileCount > 1 ? null : await readQueries(0, queryRows.length);
  for (let from = 0; only === null && from < queryRows.length; from += tileQueries)
    await readQueries(from, from + tileQueries);
  const found = await searchTiles(context, {
    phase: `${phase}/passages`,
    label: "encode and search passages",
    folder,
    key: ["texts", ...key, digest(searchRows)],
    units: unitsWithout(await leftOutBefore(context, scope)),
    without: async (failed) => {
      await leaveOut(context, { phase, model, side: "passage", batchSize, table: passages, scope }, failed);
      return unitsWithout(await leftOutBefore(context, scope));
    },
    model,
    batchSize,
    contract,
    plugins: model.plugins,
    vectorDtype: context.config.embeddings.dtype,
    queryCount: queryRows.length,
    queries: only === null ? readQueries : async () => only,
    topK,
    passages,
    tracked: options.tracked,
    tileQueries,
  });
  return toRetrieval(found, found.throughput);
}

function toRetrieval({ ranked, tracked }: Found, throughput: Throughput): Retrieval {
  return { ranked, trackedScores: tracked, throughput };
}

function digest(rows: Int32Array): string {
  return hashRows(createHash("sha256"), rows).digest("hex");
}
