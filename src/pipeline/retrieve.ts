/** Exact search of a source's queries over all of its passages: what evaluation and mining share. */
import { createHash } from "node:crypto";
import { textUnits } from "../data/index.js";
import type { PreparedSource } from "../data/types.js";
import type { ModelContract, ModelSpec } from "../protocol/messages.js";
import type { RunContext } from "./context.js";
import { queryVectors, throwFailed } from "./query-vectors.js";
import { SnapshotStore } from "./snapshots.js";
import type { TopK } from "./top-k.js";

export interface Retrieval {
  readonly ranked: TopK;
  readonly contract: ModelContract;
  /** Passages encoded and searched a second, over the units done in this call; null when all were done before. */
  readonly passagesPerSecond: number | null;
}

/**
 * Encodes the queries, sends their vectors to every worker and streams all passages through the running top-k.
 *
 * Whatever an earlier, killed call made durable in `folder` is not done again.
 */
export async function retrieve(
  context: RunContext,
  options: {
    readonly phase: string;
    /** Folder in the run folder that keeps query vectors and snapshots. */
    readonly folder: string;
    readonly model: ModelSpec;
    readonly source: PreparedSource;
    readonly queryRows: Int32Array;
    readonly topK: number;
  },
): Promise<Retrieval> {
  const { source, queryRows, phase, folder } = options;
  const { passages, queries } = source;
  const pool = await context.pool();
  const contract = await pool.describe(options.model);
  const topK = Math.min(options.topK, passages.rowCount);
  const { batchSize, unitSize } = context.config.workers;
  const key = createHash("sha256")
    .update(JSON.stringify([contract.fingerprint, queries.fingerprint, passages.fingerprint, batchSize, unitSize]))
    .update(new Uint8Array(queryRows.buffer, queryRows.byteOffset, queryRows.byteLength))
    .digest("hex");
  const { vectors, dimension } = await queryVectors(context, {
    phase: `${phase}/queries`,
    path: context.runDir.file(folder, "queries.f32"),
    key,
    model: options.model,
    queries,
    queryRows,
  });
  const store = await SnapshotStore.open(context.runDir.file(folder, "snapshots"), key, queryRows.length, topK);
  const done = store.doneUnits;
  const allRows = Int32Array.from({ length: passages.rowCount }, (_, row) => row);
  const passagePhase = `${phase}/passages`;
  const outcome = await context.phase(
    { phase: passagePhase, label: "encode and search passages", unit: "passages", total: passages.rowCount },
    async () => {
      const value = await pool.search({
        phase: passagePhase,
        model: options.model,
        units: textUnits(passages, allRows, unitSize, "passages"),
        isDone: (index) => done.has(index),
        signal: context.signal,
        topK,
        queries: vectors,
        queryCount: queryRows.length,
        dimension,
        onSnapshot: (snapshot) => store.put(snapshot),
      });
      return { value, done: value.rowCount };
    },
  );
  throwFailed(outcome.failed, passages);
  return {
    ranked: store.merge(passages.idRanks),
    contract,
    passagesPerSecond: outcome.rowCount > 0 ? outcome.rowCount / outcome.seconds : null,
  };
}
