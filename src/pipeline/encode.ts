/** Encode: a source's texts become vectors in the store, and a file that other programs read. */
import { mkdir } from "node:fs/promises";
import type { PreparedSource, TextTable } from "../data/types.js";
import type { EncodeConfig } from "../experiment/schema.js";
import { rowsToEncode } from "./asked-data.js";
import type { RunContext } from "./context.js";
import { describe } from "./describe.js";
import { wantedVectors, withVectors } from "./embed.js";
import { encodeToMatrix } from "./encode-unstored.js";
import { type EncodeResult, type EncodeWork, writeIds } from "./encode-work.js";
import { exportFor } from "./export-formats.js";
import { onceOnSource } from "./prepare.js";
import type { ModelChoice, StepLeft } from "./step.js";

/** Encodes the experiment's encode data with one model; texts whose vectors are stored are not encoded again. */
export async function encodeStep(context: RunContext, options: EncodeConfig, model: ModelChoice): Promise<StepLeft> {
  const step = `encode-${model.label}`;
  const encodeIt = async (source: PreparedSource): Promise<EncodeResult> => {
    const rows = rowsToEncode(source, options);
    const table: TextTable = options.side === "passage" ? source.passages : source.queries;
    await mkdir(context.runDir.file(step), { recursive: true });
    const work = { step, model, options, table, rows };
    return (context.config.embeddings.store ? encodeStored : encodeToMatrix)(context, work);
  };
  const use = { name: "encode", data: options.data, ...writtenAs(options) };
  const found = await onceOnSource(context, step, use, encodeIt, (result) => filesOf(result).map(([, file]) => file));
  return {
    files: Object.fromEntries(filesOf(found).map(([name, file]) => [name, context.runDir.file(file)])),
    written: [[found.vectors ?? "stored vectors", found.rowCount]],
    throughputs: options.side === "passage" ? [found.throughput] : [],
  };
}

/** What vectors are written as, where the source alone does not say it. */
function writtenAs({ export: format, index }: EncodeConfig): { readonly also?: string } {
  return format === "npy" ? {} : { also: JSON.stringify(format === "faiss" ? [format, index ?? null] : [format]) };
}

/** What was written, by what it is. */
function filesOf({ vectors, scales, ids }: EncodeResult): (readonly [name: string, file: string])[] {
  return Object.entries({ vectors, scales, ids }).flatMap(([name, file]) => (file === null ? [] : [[name, file]]));
}

async function encodeStored(context: RunContext, work: EncodeWork): Promise<EncodeResult> {
  const { step, options, table, rows } = work;
  const contract = await describe(context, work.model);
  const writeExport = await exportFor(context, options, contract);
  const wanted = wantedVectors(context, work.model, contract, {
    phase: step,
    plan: `${step}/texts.plan`,
    side: options.side,
    table,
    rows,
  });
  return withVectors(context, wanted, async ({ view, rows: encoded, throughput }) => {
    // Not those asked for: texts that cannot be encoded may have been left out.
    const ids = await writeIds(context, work, encoded);
    return { ...(await writeExport(view, step, ids)), ids, rowCount: view.rowCount, throughput };
  });
}
