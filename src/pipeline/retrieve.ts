/** Exact search of a source's queries over all of its passages: what evaluation and mining share. */
import { createHash } from "node:crypto";
import { textUnits } from "../data/index.js";
import type { PreparedSource } from "../data/types.js";
import type { RunContext } from "./context.js";
import { describe } from "./describe.js";
import { toModelSpec } from "./model-spec.js";
import { queryVectors, throwFailed } from "./query-vectors.js";
import { SnapshotStore } from "./snapshots.js";
import type { ModelChoice } from "./step.js";
import type { Throughput } from "./summary.js";
import type { TopK } from "./top-k.js";

export interface Retrieval {
  readonly ranked: TopK;
  /** What was encoded and searched in this call, units of an earlier one left out. */
  readonly throughput: Throughput;
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
    readonly model: ModelChoice;
    readonly source: PreparedSource;
    readonly queryRows: Int32Array;
    readonly topK: number;
  },
): Promise<Retrieval> {
  const { source, queryRows, phase, folder } = options;
  const { passages, queries } = source;
  const pool = await context.pool();
  const contract = await describe(context, options.model);
  const model = toModelSpec(context.experiment, options.model.checkpoint);
  const { searchRows } = source;
  const topK = Math.min(options.topK, searchRows.length);
  const { batchSize, unitSize } = context.config.workers;
  const key = createHash("sha256")
    .update(JSON.stringify([contract.fingerprint, queries.fingerprint, passages.fingerprint, batchSize, unitSize]))
    .update(new Uint8Array(queryRows.buffer, queryRows.byteOffset, queryRows.byteLength))
    .update(new Uint8Array(searchRows.buffer, searchRows.byteOffset, searchRows.byteLength))
    .digest("hex");
  const { vectors, dimension } = await queryVectors(context, {
    phase: `${phase}/queries`,
    path: context.runDir.file(folder, "queries.f32"),
    key,
    model,
    queries,
    queryRows,
  });
  const store = await SnapshotStore.open(context.runDir.file(folder, "snapshots"), key, queryRows.length, topK);
  const done = store.doneUnits;
  const passagePhase = `${phase}/passages`;
  const outcome = await context.phase(
    { phase: passagePhase, label: "encode and search passages", unit: "passages", total: searchRows.length },
    async () => {
      const value = await pool.search({
        phase: passagePhase,
        model,
        units: textUnits(passages, searchRows, unitSize, "passages"),
        isDone: (index) => done.has(index),
        signal: context.signal,
        topK,
        similarity: contract.similarity,
        isNormalizing: contract.similarity === "cosine" && !contract.normalize,
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
    throughput: { texts: outcome.rowCount, seconds: outcome.seconds },
  };
}
