/** The formats that `encode.export` names. */
import { rm } from "node:fs/promises";
import type { VectorView } from "../embeddings/index.js";
import type { EncodeConfig } from "../experiment/schema.js";
import type { ModelContract } from "../protocol/messages.js";
import type { RunContext } from "./context.js";
import { exportNpy } from "./export-vectors.js";
import { buildIndex, checkFaiss } from "./faiss.js";
import { runtimeAnswer } from "./runtime-command.js";

/** What an export left, relative to the run folder. */
interface Exported {
  readonly vectors: string | null;
  readonly scales: string | null;
}

/** A matrix that was written. */
interface Matrix extends Exported {
  readonly vectors: string;
}

/** Writes the vectors of a view; `ids` is the file of their ids, paths are relative to the run folder. */
type WriteExport = (view: VectorView, step: string, ids: string) => Promise<Exported>;

/**
 * How a format is written; what it needs is looked for now, not after hours of encoding.
 *
 * @throws QuarryError ENVIRONMENT when FAISS is asked for and not installed, CONFIG when it has not the similarity.
 */
export async function exportFor(
  context: RunContext,
  options: Pick<EncodeConfig, "export" | "index">,
  contract: ModelContract,
): Promise<WriteExport> {
  switch (options.export) {
    case "none":
      return async () => ({ vectors: null, scales: null });
    case "npy":
      return (view, step) => asNpy(context, view, step);
    case "parquet":
      return (view, step, ids) => asParquet(context, view, step, ids);
    case "faiss":
      await checkFaiss(context, contract);
      return async (view, step, ids) => {
        const vectors = `${step}/index`;
        await buildIndex(context, {
          view,
          ids: context.runDir.file(ids),
          folder: context.runDir.file(vectors),
          contract,
          options: options.index ?? { kind: "flat" },
        });
        return { vectors, scales: null };
      };
  }
}

async function asNpy(context: RunContext, view: VectorView, step: string): Promise<Matrix> {
  const [vectors, scales] = [`${step}/vectors.npy`, `${step}/scales.npy`];
  const hasScales = await exportNpy(view, context.runDir.file(vectors), context.runDir.file(scales));
  return { vectors, scales: hasScales ? scales : null };
}

/** Python reads the matrix mapped and converts it block by block; it goes when it has served. */
async function asParquet(context: RunContext, view: VectorView, step: string, ids: string): Promise<Exported> {
  const { vectors, scales } = await asNpy(context, view, step);
  const out = `${step}/vectors.parquet`;
  const file = (name: string): string => context.runDir.file(name);
  const scaled = scales === null ? [] : ["--scales", file(scales)];
  const args = ["--vectors", file(vectors), ...scaled, "--ids", file(ids), "--to", file(out)];
  // What it could not do is told by the runtime; vectors that were encoded stay in the store.
  await runtimeAnswer(context, "export-vectors", args, "the vectors could not be exported");
  for (const name of [vectors, scales]) if (name !== null) await rm(file(name), { force: true });
  return { vectors: out, scales: null };
}
