/** Query vectors of a search over stored vectors: from the store, and what it lacks encoded first. */
import type { PreparedSource } from "../data/types.js";
import type { ModelContract } from "../protocol/messages.js";
import { batchSizeOf } from "./batch-size.js";
import type { RunContext } from "./context.js";
import { withVectors } from "./embed.js";
import type { ModelChoice } from "./step.js";

/** Vectors of a source's queries, [queryRows.length × dimension]; few, so they keep all their bits. */
export async function storedQueries(
  context: RunContext,
  options: {
    readonly phase: string;
    readonly folder: string;
    readonly model: ModelChoice;
    readonly source: PreparedSource;
    readonly queryRows: Int32Array;
  },
  contract: ModelContract,
): Promise<Float32Array> {
  const { phase, folder, source, queryRows } = options;
  return withVectors(
    context,
    {
      phase: `${phase}/queries`,
      plan: `${folder}/queries.plan`,
      model: context.modelSpec(options.model.checkpoint),
      contract,
      side: "query",
      dtype: "float32",
      table: source.queries,
      rows: queryRows,
      batchSize: () => batchSizeOf(context, options.model, source.passages, source.searchRows),
    },
    async ({ view }) => new Float32Array(view.read(0, queryRows.length).bytes.buffer),
  );
}
