/** Vectors of a table's texts: read from the store, and what the store lacks encoded first. */
import { createHash } from "node:crypto";
import { dataFolder, textUnits } from "../data/index.js";
import type { TextTable } from "../data/types.js";
import {
  covers,
  EmbeddingStore,
  KEY_WORDS,
  planMissing,
  readPlan,
  rowsKey,
  textKeys,
  VectorView,
  writePlan,
} from "../embeddings/index.js";
import { QuarryError } from "../errors.js";
import type { ModelContract, ModelSpec, VectorDtype } from "../protocol/messages.js";
import type { RunContext } from "./context.js";
import { throwFailed } from "./failed-units.js";
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
}

/** Vectors of the rows, in their order; `close` them when they are no longer read. */
export interface Embedded {
  readonly view: VectorView;
  /** What this call encoded. */
  readonly throughput: Throughput;
  close(): void;
}

/** Vectors that vanish while they are encoded: a disk that damages them faster than that has to be told. */
const MAX_ROUNDS = 3;

/**
 * Opens the store and encodes the texts whose vectors it lacks, each once, on the units that the plan in the run folder
 * names; units whose vectors an earlier, killed call made durable are not done again.
 *
 * @throws QuarryError as the pool does; ENVIRONMENT when the disk is full: what was durable stays.
 */
export async function embed(context: RunContext, options: EmbedOptions): Promise<Embedded> {
  const { contract, side, dtype, table, rows } = options;
  const warn = (message: string): void => context.events.emit({ type: "warning", message, hint: null });
  const store = await EmbeddingStore.open(context.cacheDir, { contract, side, dtype }, warn);
  try {
    const keys = await textKeys(table, rows, dataFolder(context.cacheDir), context.signal);
    let throughput: Throughput = { texts: 0, seconds: 0 };
    for (let round = 0; ; round += 1) {
      const places = store.find(keys);
      if (places.missingCount === 0) {
        return { view: new VectorView(store, rows, places), throughput, close: () => store.close() };
      }
      if (round === MAX_ROUNDS) {
        throw new QuarryError("INTEGRITY", `${store.folder}: vectors that were just written cannot be read.`, {
          hint: "Check the disk, or name another folder with cacheDir.",
        });
      }
      const path = context.runDir.file(options.plan);
      const { batchSize, unitSize } = context.config.workers;
      const key = createHash("sha256")
        .update(JSON.stringify([store.folder, rowsKey(table, rows), batchSize, unitSize]))
        .digest("hex")
        .slice(0, 32);
      let plan = await readPlan(path, key, rows.length);
      if (plan === null || !covers(plan, keys, places)) {
        plan = planMissing(keys, places);
        await writePlan(path, key, plan);
      }
      throughput = await encodePlanned(context, options, store, keys.keys, plan, places.rows);
      store.reload();
    }
  } catch (thrown) {
    store.close();
    throw thrown;
  }
}

async function encodePlanned(
  context: RunContext,
  options: EmbedOptions,
  store: EmbeddingStore,
  keys: Int32Array,
  plan: Int32Array,
  found: Int32Array,
): Promise<Throughput> {
  const { phase, model, side, dtype, table, rows } = options;
  const { unitSize } = context.config.workers;
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
    return await context.phase(start, async () => {
      const outcome = await pool.encode({
        phase,
        model,
        side,
        vectorDtype: dtype,
        units,
        isDone: (index) => placesOf(index).every((at) => found[at] !== -1),
        signal: context.signal,
        onVectors: (index, vectors) => writer.append(keysOf(keys, placesOf(index)), vectors),
      });
      throwFailed(outcome.failed, table);
      return { value: { texts: outcome.rowCount, seconds: outcome.seconds }, done: outcome.rowCount };
    });
  } finally {
    // What is durable is of use, however the job ended.
    await writer.close();
  }
}

function keysOf(keys: Int32Array, places: Int32Array): Uint8Array {
  const chosen = new Int32Array(places.length * KEY_WORDS);
  for (const [index, at] of places.entries()) {
    chosen.set(keys.subarray(at * KEY_WORDS, (at + 1) * KEY_WORDS), index * KEY_WORDS);
  }
  return new Uint8Array(chosen.buffer);
}
