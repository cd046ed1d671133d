/**
 * A search over stored vectors: what a worker gets that reads them from their files, and one that is sent them.
 *
 * One query, so that there is hardly anything to compute: what is measured is the way of the data. The same worker does
 * both; units that name no places are what a worker of another machine gets, here without its network.
 */
import { join } from "node:path";
import { EmbeddingStore, KEY_WORDS, VectorView } from "../../../src/embeddings/index.js";
import type { VectorModel } from "../../../src/embeddings/types.js";
import type { VectorUnits } from "../../../src/embeddings/vector-view.js";
import { openPool } from "../../../src/pool/pool.js";
import type { WorkerPool } from "../../../src/pool/types.js";
import { EventStream } from "../../../src/report/events.js";
import { type Context, median } from "../shared/context.js";
import { mainThreadSeconds } from "./feeding.js";
import { delayedModel } from "./simulated.js";

const DIMENSION = 384;
const BLOCK_ROWS = 256;
const MODEL = {
  contract: { fingerprint: "bench", dimension: DIMENSION } as VectorModel["contract"],
  side: "passage",
  dtype: "float32",
} as const satisfies VectorModel;

interface Round {
  readonly seconds: number;
  readonly loopSeconds: number;
  readonly found: string;
}

export async function measureStored(context: Context): Promise<void> {
  const [count, rounds] = context.quick ? [20_000, 2] : [200_000, 7];
  const { store, view } = await fill(join(context.folder, "store"), count);
  const { workers } = delayedModel(0, { count: 1, threads: 1 }).config;
  const { python } = context;
  const pool = await openPool({ workers, python, logDir: join(context.folder, "logs"), events: new EventStream() });
  try {
    const units = view.units(
      Int32Array.from({ length: count }, (_, row) => row),
      "vectors",
    );
    const { placed: _, ...sent } = units;
    // The process, its imports and the sockets are warm before the first round; no vector has been looked at.
    await search(pool, { ...sent, count: 0 });
    const first = await search(pool, units);
    const all: Record<"read" | "sent", Round[]> = { read: [], sent: [] };
    for (let round = 0; round < rounds; round += 1) {
      context.note(`stored vectors, round ${round + 1} of ${rounds}`);
      all.read.push(await search(pool, units));
      all.sent.push(await search(pool, sent));
    }
    const bytes = count * DIMENSION * 4;
    const told = ({ seconds, loopSeconds }: Round): string =>
      `${(bytes / seconds / 1e9).toFixed(2)} GB/s (${seconds.toFixed(2)} s); event loop ${loopSeconds.toFixed(2)} s`;
    const middle = (some: readonly Round[]): Round => ({
      seconds: median(some.map(({ seconds }) => seconds)),
      loopSeconds: median(some.map(({ loopSeconds }) => loopSeconds)),
      found: "",
    });
    const isSame = [first, ...all.read, ...all.sent].every(({ found }) => found === first.found);
    const what = `${count.toLocaleString("en-US")} vectors of ${DIMENSION} float32, one query, one worker`;
    context.tell(`${what}, sent`, told(middle(all.sent)));
    context.tell(`${what}, read from their files`, told(middle(all.read)));
    context.tell(`${what}, read for the first time in a run: checksums compared`, told(first));
    const ratio = middle(all.read).seconds / middle(all.sent).seconds;
    context.tell("time when read / when sent", `${ratio.toFixed(2)}; ${isSame ? "the same scores" : "OTHER SCORES"}`);
    context.numbers({ first, ...all, bytes });
  } finally {
    await pool.close();
    store.close();
  }
}

async function search(pool: WorkerPool, units: VectorUnits): Promise<Round> {
  const queries = Float32Array.from({ length: DIMENSION }, (_, at) => Math.sin(at));
  const [start, loop] = [performance.now(), mainThreadSeconds()];
  let found = "";
  await pool.search({
    phase: "bench",
    model: null,
    units,
    similarity: "dot",
    isNormalizing: false,
    topK: 10,
    queries,
    queryCount: 1,
    dimension: DIMENSION,
    onSnapshot: async ({ rows, scores }) => {
      found = `${rows.join()} ${scores.join()}`;
    },
  });
  return { seconds: (performance.now() - start) / 1_000, loopSeconds: mainThreadSeconds() - loop, found };
}

/** A store of so many vectors of no meaning, and a view of all of them in the order in which they lie. */
async function fill(folder: string, count: number): Promise<{ store: EmbeddingStore; view: VectorView }> {
  const store = await EmbeddingStore.open(folder, MODEL, console.warn);
  const writer = store.writer();
  for (let from = 0; from < count; from += BLOCK_ROWS) {
    const rows = Math.min(BLOCK_ROWS, count - from);
    const vectors = Float32Array.from({ length: rows * DIMENSION }, (_, at) => Math.sin(from * 0.7 + at * 12.9898));
    const keys = Int32Array.from({ length: rows * KEY_WORDS }, (_, at) => Math.imul(from * KEY_WORDS + at, 0x9e3779b1));
    const block = { dtype: MODEL.dtype, dimension: DIMENSION, bytes: new Uint8Array(vectors.buffer), scales: null };
    await writer.append(new Uint8Array(keys.buffer), block);
  }
  await writer.close();
  store.reload();
  const numbers = store.shards.flatMap((shard, number) => new Array<number>(shard.rowCount).fill(number));
  const rows = store.shards.flatMap((shard) => Array.from({ length: shard.rowCount }, (_, row) => row));
  const order = Int32Array.from({ length: count }, (_, row) => row);
  const places = { shards: Int32Array.from(numbers), rows: Int32Array.from(rows), missingCount: 0, order };
  return { store, view: new VectorView(store, order, places) };
}
