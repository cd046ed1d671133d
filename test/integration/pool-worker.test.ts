/** The pool with the real Python worker and a tiny model: what comes out depends on the units, not on who did them. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { workersSchema } from "../../src/experiment/schema.js";
import { openPool } from "../../src/pool/pool.js";
import type { Snapshot, WorkerPool } from "../../src/pool/types.js";
import { findPython, type PythonEnvironment } from "../../src/python/environment.js";
import { EventStream, type QuarryEvent } from "../../src/report/events.js";
import { fakeModel, mergeSnapshots, processesWith, until } from "../fixtures/fake-pool.js";
import { textUnits } from "../fixtures/text-units.js";
import { writeTinyModel } from "../fixtures/tiny-model.js";
import { forkServers } from "./training-harness.js";

const UNIT_ROWS = 8;
const UNITS = 24;
const marker = `QUARRY_TEST_MARKER=real-${process.pid}`;
let folder: string;
let python: PythonEnvironment;
let model: typeof fakeModel;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "quarry-test-worker-"));
  const found = await findPython();
  const [name = "", value = ""] = marker.split("=");
  python = { ...found, env: { ...found.env, [name]: value } };
  const checkpoint = await writeTinyModel(join(folder, "model"));
  model = { ...fakeModel, checkpoint, dtype: "float32" };
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  expect(processesWith(marker)).toEqual([]);
});

const units = textUnits(UNITS, UNIT_ROWS);

async function withPool<Result>(
  count: number,
  work: (pool: WorkerPool, events: QuarryEvent[]) => Promise<Result>,
): Promise<Result> {
  const stream = new EventStream();
  const events: QuarryEvent[] = [];
  stream.subscribe((event) => events.push(event));
  const workers = workersSchema.parse({ count, device: "cpu", threads: 1, batchSize: 4 });
  const pool = await openPool({ workers, python, logDir: join(folder, "logs"), events: stream });
  try {
    return await work(pool, events);
  } finally {
    await pool.close();
  }
}

async function encodeAll(
  pool: WorkerPool,
  onFirst: () => unknown = () => {},
): Promise<{ bytes: Buffer; dimension: number }> {
  const parts: Buffer[] = [];
  const job = { phase: "encode", model, units, side: "passage" } as const;
  const outcome = await pool.encode({
    ...job,
    onVectors: async (index, { bytes }) => {
      expect(parts[index]).toBeUndefined();
      const isFirst = parts.length === 0;
      parts[index] = Buffer.from(bytes);
      if (isFirst) await onFirst();
    },
  });
  expect(outcome.failed).toEqual([]);
  expect(outcome.rowCount).toBe(UNITS * UNIT_ROWS);
  return { bytes: Buffer.concat(parts), dimension: outcome.contract?.dimension ?? 0 };
}

async function searchAll(pool: WorkerPool, dimension: number, topK: number) {
  const queryCount = 3;
  const queries = Float32Array.from({ length: queryCount * dimension }, (_, index) => Math.sin(index));
  const snapshots = new Map<string, Snapshot>();
  await pool.search({
    phase: "search",
    model,
    units,
    topK,
    similarity: "dot",
    isNormalizing: false,
    queries,
    queryCount,
    dimension,
    snapshotEveryUnits: 4,
    onSnapshot: async (snapshot) => {
      snapshots.set(snapshot.session, snapshot);
    },
  });
  const covered = [...snapshots.values()].flatMap((snapshot) => [...snapshot.units]);
  expect(covered.sort((left, right) => left - right)).toEqual(Array.from({ length: UNITS }, (_, index) => index));
  return mergeSnapshots(snapshots, queryCount, topK);
}

describe("the pool with the real worker", () => {
  it("gives the same bytes with one worker, with two, and with one of two killed in the middle", async () => {
    const one = await withPool(1, async (pool) => {
      const contract = await pool.describe(model);
      const vectors = await encodeAll(pool);
      expect(vectors.dimension).toBe(contract.dimension);
      expect(vectors.bytes.byteLength).toBe(UNITS * UNIT_ROWS * contract.dimension * 4);
      return { vectors, found: await searchAll(pool, contract.dimension, 10) };
    });
    const two = await withPool(2, async (pool) => {
      const vectors = await encodeAll(pool);
      return { vectors, found: await searchAll(pool, vectors.dimension, 10) };
    });
    expect(two.vectors.bytes.equals(one.vectors.bytes)).toBe(true);
    expect(two.found).toEqual(one.found);
    const killed = await withPool(2, async (pool, events) => {
      await pool.describe(model);
      const [victim] = processesWith(marker);
      const searching = searchAll(pool, one.vectors.dimension, 10);
      await until(() =>
        events.some((event) => event.type === "progress" || (event.type === "worker" && event.done > 0)),
      );
      process.kill(victim as number, "SIGKILL");
      return searching;
    });
    expect(killed).toEqual(one.found);
  });

  it("goes on when the process dies that its workers are forked from", async () => {
    const whole = await withPool(2, (pool) => encodeAll(pool));
    const broken = await withPool(2, async (pool, events) => {
      await pool.describe(model);
      const victims = forkServers();
      const isTold = (): boolean =>
        events.some((event) => event.type === "warning" && event.message.includes("it was forked from"));
      const vectors = await encodeAll(pool, () => {
        for (const pid of victims) process.kill(pid, "SIGKILL");
        // Until then the work is not over.
        return until(isTold);
      });
      expect(forkServers()).not.toEqual(victims);
      return vectors;
    });
    expect(broken.bytes.equals(whole.bytes)).toBe(true);
  });

  it("passes on that a model is missing, before it is waited for", async () => {
    await withPool(1, async (pool) => {
      const missing = pool.describe({ ...model, checkpoint: join(folder, "nothing") });
      await expect(missing).rejects.toMatchObject({ isRetryable: false });
      await expect(missing).rejects.toThrow("nothing");
    });
  });
});
