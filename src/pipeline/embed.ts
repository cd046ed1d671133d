/** Vectors of a table's texts: read from the store, and what the store lacks encoded first. */
import { basename } from "node:path";
import { dataFolder, keepRows, textUnits } from "../data/index.js";
import type { TextTable } from "../data/types.js";
import {
  covers,
  EmbeddingStore,
  KEPT_ROWS,
  KEY_WORDS,
  keepPlaces,
  planMissing,
  readingOrder,
  readPlaces,
  readPlan,
  rowsKey,
  type TextKeys,
  textKeys,
  VectorView,
  writePlan,
} from "../embeddings/index.js";
import { QuarryError } from "../errors.js";
import { jsonDigest } from "../json-digest.js";
import type { FailedUnit } from "../pool/types.js";
import type { ModelContract, ModelSpec, VectorDtype } from "../protocol/messages.js";
import { batchSizeOf, unitSizeOf } from "./batch-size.js";
import type { RunContext } from "./context.js";
import { type FallibleJob, leaveOut, leftOutBefore, throwFailed } from "./failed-units.js";
import type { ModelChoice } from "./step.js";
import type { Throughput } from "./summary.js";

/** Whose vectors are wanted. */
export interface EmbedOptions {
  readonly phase: string;
  /** File in the run folder that keeps the list of texts to encode. */
  readonly plan: string;
  readonly model: ModelSpec;
  readonly contract: ModelContract;
  readonly side: "query" | "passage";
  readonly dtype: VectorDtype;
  readonly table: TextTable;
  readonly rows: Int32Array;
  /** Texts in one forward pass; asked for only when something has to be encoded. */
  readonly batchSize: () => Promise<number>;
}

/**
 * What a model of the run makes of a table's texts, as the store keeps them: how they are rounded and batched is the
 * experiment's to say.
 */
export function wantedVectors(
  context: RunContext,
  model: ModelChoice,
  contract: ModelContract,
  texts: Pick<EmbedOptions, "phase" | "plan" | "side" | "table" | "rows">,
): EmbedOptions {
  return {
    ...texts,
    model: context.modelSpec(model.checkpoint),
    contract,
    dtype: context.config.embeddings.dtype,
    batchSize: () => batchSizeOf(context, model, texts.table, texts.rows),
  };
}

/** Vectors of the rows, in their order. */
export interface Embedded {
  /** The rows asked for, without those that cannot be encoded and are left out. */
  readonly rows: Int32Array;
  readonly view: VectorView;
  /** What this call encoded. */
  readonly throughput: Throughput;
}

/** Blocks that turn out damaged while they are read are encoded again, so often at most. */
const MAX_REPAIRS = 3;

/** Vectors that vanish while they are encoded: a disk that damages them faster than that has to be told. */
const MAX_ROUNDS = 3;

/**
 * Does something with the vectors of a table's texts. A block that turns out damaged while it is read is told, its texts
 * are encoded again, and the work begins anew.
 *
 * @param work may be called again; what it is given is closed when its promise is settled.
 * @throws QuarryError as the pool does; ENVIRONMENT when the disk is full: what was durable stays.
 * @example
 * await withVectors(context, options, async ({ view }) => view.read(0, view.rowCount));
 */
export async function withVectors<T>(
  context: RunContext,
  options: EmbedOptions,
  work: (embedded: Embedded) => Promise<T>,
): Promise<T> {
  for (let repairs = 0; ; repairs += 1) {
    const { close, ...embedded } = await embed(context, options);
    try {
      return await work(embedded);
    } catch (thrown) {
      if (!(thrown instanceof QuarryError) || thrown.code !== "INTEGRITY" || repairs === MAX_REPAIRS) throw thrown;
      const message = `${thrown.message} These vectors are encoded again.`;
      context.events.emit({ type: "warning", message, hint: null });
    } finally {
      close();
    }
  }
}

/**
 * Opens the store and encodes the texts whose vectors it lacks, each once, on the units that the plan in the run folder
 * names; units whose vectors an earlier, killed call made durable are not done again.
 */
async function embed(context: RunContext, options: EmbedOptions): Promise<Embedded & { close(): void }> {
  const { contract, side, dtype, table } = options;
  const warn = (message: string): void => context.events.emit({ type: "warning", message, hint: null });
  const store = await EmbeddingStore.open(context.cacheDir, { contract, side, dtype }, warn);
  try {
    const scope = `${basename(store.folder)}/${table.fingerprint}`;
    let rows = without(options.rows, await leftOutBefore(context, scope));
    const known = readPlaces(store, rowsKey(table, rows));
    if (known !== null) {
      const throughput = { texts: 0, seconds: 0 };
      return { rows, view: new VectorView(store, rows, known), throughput, close: () => store.close() };
    }
    let throughput: Throughput = { texts: 0, seconds: 0 };
    let failed: readonly FailedUnit[] = [];
    for (let round = 0; ; round += 1) {
      const keys = await keysOfTexts(context, options, rows);
      const places = store.find(keys);
      if (places.missingCount === 0) {
        const found = { ...places, order: readingOrder(keys.lengths, places) };
        keepPlaces(store, rowsKey(table, rows), found);
        return { rows, view: new VectorView(store, rows, found), throughput, close: () => store.close() };
      }
      if (round === MAX_ROUNDS) {
        throwFailed(failed);
        throw new QuarryError("INTEGRITY", `${store.folder}: vectors that were just written cannot be read.`, {
          hint: "Check the disk, or name another folder with cacheDir.",
        });
      }
      await store.checkWritable();
      const path = context.runDir.file(options.plan);
      const batchSize = await options.batchSize();
      const unitSize = unitSizeOf(context.config.workers, batchSize);
      const key = jsonDigest([store.folder, rowsKey(table, rows), batchSize, unitSize], 32);
      let plan = await readPlan(path, key, rows.length);
      if (plan === null || !covers(plan, keys, places)) {
        plan = planMissing(keys, places);
        await writePlan(path, key, plan);
      }
      const job = { ...options, rows, batchSize, scope };
      const { leftOut, ...done } = await encodePlanned(context, job, store, keys.keys, plan, places.rows);
      throughput = { texts: throughput.texts + done.texts, seconds: throughput.seconds + done.seconds };
      failed = done.failed;
      store.reload();
      if (leftOut.length === 0) continue;
      rows = withoutTexts(rows, keys.keys, new Set(leftOut));
      // Nothing vanished: what is left of the failed units is done in the next round.
      round = -1;
    }
  } catch (thrown) {
    store.close();
    throw thrown;
  }
}

/** The keys of the rows' texts; of a large table that takes seconds, and more, before there is anything to encode. */
async function keysOfTexts(
  context: RunContext,
  { phase: of, side, table }: Pick<EmbedOptions, "phase" | "side" | "table">,
  rows: Int32Array,
): Promise<TextKeys> {
  const folder = dataFolder(context.cacheDir);
  if (rows.length < KEPT_ROWS) return textKeys(table, rows, folder, context.signal);
  const [phase, unit, total] = [`${of}-known`, side === "passage" ? "passages" : "queries", rows.length] as const;
  return context.phase({ phase, label: `look up ${unit}`, unit, total }, async () => {
    let isCached = true;
    const value = await textKeys(table, rows, folder, context.signal, (done) => {
      isCached = false;
      context.events.emit({ type: "progress", phase, done, total, ratePerSecond: null });
    });
    return { value, done: total, ...(isCached ? { isCached: true as const } : {}) };
  });
}

/** A job that may find texts that cannot be encoded. */
type PlannedJob = Omit<EmbedOptions, "batchSize"> & FallibleJob & { readonly batchSize: number };

async function encodePlanned(
  context: RunContext,
  options: PlannedJob,
  store: EmbeddingStore,
  keys: Int32Array,
  plan: Int32Array,
  found: Int32Array,
): Promise<Throughput & { readonly leftOut: Int32Array; readonly failed: readonly FailedUnit[] }> {
  const { phase, model, side, dtype, table, rows, batchSize } = options;
  const unitSize = unitSizeOf(context.config.workers, batchSize);
  const name = side === "passage" ? "passages" : "queries";
  const units = textUnits(
    table,
    plan.map((at) => rows[at] as number),
    unitSize,
    name,
  );
  const placesOf = (index: number): Int32Array => plan.subarray(index * unitSize, (index + 1) * unitSize);
  const pool = await context.pool();
  const writer = store.writer();
  const start = { phase, label: `encode ${name}`, unit: name, total: plan.length } as const;
  try {
    const outcome = await context.phase(start, async () => {
      const value = await pool.encode({
        phase,
        model,
        side,
        batchSize,
        vectorDtype: dtype,
        units,
        isDone: (index) => placesOf(index).every((at) => found[at] !== -1),
        signal: context.signal,
        onVectors: (index, vectors) => writer.append(keysOf(keys, placesOf(index)), vectors),
      });
      return { value, done: value.rowCount };
    });
    const leftOut = outcome.failed.length === 0 ? new Int32Array(0) : await leaveOut(context, options, outcome.failed);
    return { texts: outcome.rowCount, seconds: outcome.seconds, leftOut, failed: outcome.failed };
  } finally {
    // What is durable is of use, however the job ended.
    await writer.close();
  }
}

/** Rows in their order, without some. */
function without(rows: Int32Array, leftOut: ReadonlySet<number>): Int32Array {
  return leftOut.size === 0 ? rows : keepRows(rows, (row) => !leftOut.has(row));
}

/** Rows without some and without those of equal texts, which would fare alike. */
function withoutTexts(rows: Int32Array, keys: Int32Array, leftOut: ReadonlySet<number>): Int32Array {
  const textOf = (at: number): string => keys.subarray(at * KEY_WORDS, (at + 1) * KEY_WORDS).join();
  const texts = new Set<string>();
  for (const [at, row] of rows.entries()) if (leftOut.has(row)) texts.add(textOf(at));
  return keepRows(rows, (_, at) => !texts.has(textOf(at)));
}

function keysOf(keys: Int32Array, places: Int32Array): Uint8Array {
  const chosen = new Int32Array(places.length * KEY_WORDS);
  for (const [index, at] of places.entries()) {
    chosen.set(keys.subarray(at * KEY_WORDS, (at + 1) * KEY_WORDS), index * KEY_WORDS);
  }
  return new Uint8Array(chosen.buffer);
}
