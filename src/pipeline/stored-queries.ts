/** Query vectors of a search over stored vectors: from the store, and what it lacks encoded first. */
import type { ModelContract } from "../protocol/messages.js";
import { batchSizeOf } from "./batch-size.js";
import type { RunContext } from "./context.js";
import { type EmbedOptions, wantedVectors, withVectors } from "./embed.js";
import type { RetrieveOptions } from "./retrieve.js";
import type { ReadQueries } from "./search-tiles.js";

/** Vectors of so many bytes are read once and kept; of more, each part is read when it is asked for. */
const KEPT_BYTES = 128 << 20;

/** Encodes what the store lacks of a source's queries, and reads them from it; few, so they keep all their bits. */
export async function storedQueries(
  context: RunContext,
  options: Pick<RetrieveOptions, "phase" | "folder" | "model" | "source" | "queryRows">,
  contract: ModelContract,
  keptBytes = KEPT_BYTES,
): Promise<ReadQueries> {
  const { phase, folder, model, source, queryRows } = options;
  const { dimension } = contract;
  const wanted: EmbedOptions = {
    ...wantedVectors(context, model, contract, {
      phase: `${phase}/queries`,
      plan: `${folder}/queries.plan`,
      side: "query",
      table: source.queries,
      rows: queryRows,
    }),
    dtype: "float32",
    // Measured once for a model, on what there is most of.
    batchSize: () => batchSizeOf(context, model, source.passages, source.searchRows),
  };
  const read: ReadQueries = (from, to) =>
    withVectors(context, wanted, async ({ view }) => new Float32Array(view.read(from, to).bytes.buffer));
  const isKept = queryRows.length * dimension * 4 <= keptBytes;
  // All are encoded now, however many are read.
  const kept = await read(0, isKept ? queryRows.length : 0);
  return isKept ? async (from, to) => kept.subarray(from * dimension, to * dimension) : read;
}
