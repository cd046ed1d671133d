/** What follows from units that could not be done: the texts at fault are named, and left out where the policy says so. */
import { counted } from "../counted.js";
import type { TextTable } from "../data/types.js";
import { QuarryError } from "../errors.js";
import type { FailedUnit } from "../pool/types.js";
import type { ModelSpec } from "../protocol/messages.js";
import type { RunContext } from "./context.js";
import { findPoison, type Poison } from "./poison.js";

/** A job whose units may fail. */
export interface FallibleJob {
  readonly phase: string;
  readonly model: ModelSpec;
  readonly side: "query" | "passage";
  readonly batchSize?: number;
  readonly table: TextTable;
  /** Names the vectors in the run folder's record: those of another model or table are none of this job's. */
  readonly scope: string;
}

/** Texts named in a message. */
const NAMED = 10;
const FILE = "unencodable.json";

type Recorded = Readonly<Record<string, readonly Poison[]>>;

/**
 * Ends a step whose units failed without a text to blame; what was finished is durable.
 *
 * @throws QuarryError WORKER or what the units failed with, if any did.
 */
export function throwFailed(failed: readonly FailedUnit[]): void {
  const [first] = failed;
  if (first === undefined) return;
  const count = `${failed.length} unit${failed.length === 1 ? "" : "s"}`;
  throw new QuarryError(first.code, `${count} could not be done; ${first.unit}: ${first.message}`, {
    hint: "Run the same command again; finished units are not done again.",
  });
}

/** Rows that an earlier call left out; the same ones stay out, or results would depend on what was killed when. */
export async function leftOutBefore(context: RunContext, scope: string): Promise<Set<number>> {
  if (context.config.embeddings.unencodable === "error") return new Set();
  const recorded = ((await context.runDir.readJson(FILE)) ?? {}) as Recorded;
  return new Set((recorded[scope] ?? []).map(({ row }) => row));
}

/**
 * Finds the texts behind failed units. Under `embeddings.unencodable` warn and drop they are recorded, told and given
 * back; a query is never left out, because its results would be missing without a word.
 *
 * @throws QuarryError naming the texts with file and line, under the policy error.
 */
export async function leaveOut(
  context: RunContext,
  job: FallibleJob,
  failed: readonly FailedUnit[],
): Promise<Int32Array> {
  const { phase, model, side, table, batchSize, scope } = job;
  const pool = await context.pool();
  const gather = (rows: Int32Array): Uint8Array => table.gather(rows);
  const search = { phase: `${phase}/halves`, model, side, gather, signal: context.signal };
  // A plugin that fails is mended, not worked around: one unit is enough to name texts that it fails on.
  const plugin = failed.find(({ code }) => code === "CONFIG");
  const suspects = plugin === undefined ? failed : [plugin];
  const poison = await findPoison(pool, batchSize === undefined ? search : { ...search, batchSize }, suspects);
  const first = poison[0];
  // Nothing was found at fault: a device that fails now and then. What is missing is tried again.
  if (first === undefined) return new Int32Array(0);
  const what = counted(poison.length, side === "passage" ? "passages" : "queries");
  const named = poison.slice(0, NAMED).map(({ row, message }) => {
    const { file, line } = table.origin(row);
    return `${table.id(row)} (${file}:${line}): ${message}`;
  });
  const more = poison.length > NAMED ? [`and ${poison.length - NAMED} more`] : [];
  const list = [...named, ...more].map((line) => `\n  ${line}`).join("");
  const policy = context.config.embeddings.unencodable;
  if (policy === "error" || side === "query" || plugin !== undefined) {
    const hint =
      plugin !== undefined
        ? "Mend the plugin, then run the same command again."
        : side === "query"
          ? "Mend or remove these texts, then run the same command again."
          : "Mend or remove these texts, or leave them out with --embeddings.unencodable warn; finished passages are not done again.";
    throw new QuarryError(first.code, `${what} cannot be encoded:${list}`, { hint });
  }
  await context.runDir.updateJson<Recorded>(FILE, (before) => ({
    ...before,
    [scope]: [...(before?.[scope] ?? []), ...poison],
  }));
  const message = `${what} cannot be encoded and ${poison.length === 1 ? "is" : "are"} left out:${list}`;
  if (policy === "warn") context.events.emit({ type: "warning", message, hint: null });
  else context.events.emit({ type: "log", source: "quarry", level: "info", text: message });
  return Int32Array.from(poison, ({ row }) => row);
}
