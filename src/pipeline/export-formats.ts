/** The formats that `encode.export` names. */
import { rm } from "node:fs/promises";
import { execa } from "execa";
import type { VectorView } from "../embeddings/index.js";
import { QuarryError } from "../errors.js";
import type { EncodeConfig } from "../experiment/schema.js";
import type { RunContext } from "./context.js";
import { exportNpy } from "./export-vectors.js";

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
 * @throws QuarryError ENVIRONMENT when FAISS is asked for and not installed.
 */
export async function exportFor(context: RunContext, format: EncodeConfig["export"]): Promise<WriteExport> {
  if (format === "none") return async () => ({ vectors: null, scales: null });
  const asNpy: WriteExport = async (view, step) => {
    const [vectors, scales] = [`${step}/vectors.npy`, `${step}/scales.npy`];
    const written = await exportNpy(view, context.runDir.file(vectors), context.runDir.file(scales));
    return { vectors, scales: written.hasScales ? scales : null };
  };
  if (format === "npy") return asNpy;
  if (format === "faiss") await runExport(context, ["export", "--check", format]);
  return async (view, step, ids) => {
    // Python reads the matrix mapped and converts it block by block; it goes when it has served.
    const { vectors, scales } = await asNpy(view, step, ids);
    if (vectors === null) return { vectors, scales };
    const out = `${step}/vectors.${format}`;
    const file = (name: string): string => context.runDir.file(name);
    const scaled = scales === null ? [] : ["--scales", file(scales)];
    await runExport(context, [
      "export",
      "--format",
      format,
      "--vectors",
      file(vectors),
      ...scaled,
      "--ids",
      file(ids),
      "--out",
      file(out),
    ]);
    for (const name of [vectors, scales]) if (name !== null) await rm(file(name), { force: true });
    return { vectors: out, scales: null };
  };
}

async function runExport(context: RunContext, args: readonly string[]): Promise<void> {
  const python = await context.python();
  const result = await execa(python.executable, ["-m", "quarry_runtime", ...args], {
    env: { ...python.env },
    extendEnv: false,
    cancelSignal: context.signal,
    reject: false,
  });
  context.checkStop();
  if (result.exitCode === 0) return;
  const message = result.stderr.trim().split("\n").at(-1) ?? "";
  throw new QuarryError("ENVIRONMENT", `the vectors could not be exported: ${message}`, {
    cause: result,
    hint: "Vectors that were encoded are in the store; the same command goes on from there.",
  });
}
