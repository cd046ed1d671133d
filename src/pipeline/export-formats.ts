/** The formats that `encode.export` names. */
import { rm } from "node:fs/promises";
import type { VectorView } from "../embeddings/index.js";
import type { EncodeConfig } from "../experiment/schema.js";
import type { RunContext } from "./context.js";
import { exportNpy } from "./export-vectors.js";
import { runtimeCommand } from "./runtime-command.js";

/** What an export left, relative to the run folder. */
interface Exported {
  readonly vectors: string | null;
  readonly scales: string | null;
}

/** Writes the vectors of a view; `ids` is the file of their ids, paths are relative to the run folder. */
type WriteExport = (view: VectorView, step: string, ids: string) => Promise<Exported>;

/**
 * How a format is written; what it needs is looked for now, not after hours of encoding.
 *
 * @throws QuarryError CONFIG when FAISS is asked for and not installed.
 */
export async function exportFor(context: RunContext, format: EncodeConfig["export"]): Promise<WriteExport> {
  if (format === "none") return async () => ({ vectors: null, scales: null });
  const asNpy: WriteExport = async (view, step) => {
    const [vectors, scales] = [`${step}/vectors.npy`, `${step}/scales.npy`];
    const written = await exportNpy(view, context.runDir.file(vectors), context.runDir.file(scales));
    return { vectors, scales: written.hasScales ? scales : null };
  };
  if (format === "npy") return asNpy;
  if (format === "faiss") await runExport(context, ["--check", format]);
  return async (view, step, ids) => {
    // Python reads the matrix mapped and converts it block by block; it goes when it has served.
    const { vectors, scales } = await asNpy(view, step, ids);
    if (vectors === null) return { vectors, scales };
    const out = `${step}/vectors.${format}`;
    const file = (name: string): string => context.runDir.file(name);
    const scaled = scales === null ? [] : ["--scales", file(scales)];
    await runExport(context, [
      "--format",
      format,
      "--vectors",
      file(vectors),
      ...scaled,
      "--ids",
      file(ids),
      "--to",
      file(out),
    ]);
    for (const name of [vectors, scales]) if (name !== null) await rm(file(name), { force: true });
    return { vectors: out, scales: null };
  };
}

/** What it could not do is told by the runtime; vectors that were encoded stay in the store. */
async function runExport(context: RunContext, args: readonly string[]): Promise<void> {
  await runtimeCommand(context, "export", args, "the vectors could not be exported");
}
