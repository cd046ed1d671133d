/** Other machines, as network namespaces: their results are byte for byte those of local workers, whatever breaks on the way. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type WorkersConfig, workersSchema } from "../../src/experiment/schema.js";
import { launchNodes } from "../../src/pool/launch/nodes.js";
import { openPool } from "../../src/pool/pool.js";
import type { Snapshot, WorkerPool } from "../../src/pool/types.js";
import { findPython, type PythonEnvironment } from "../../src/python/environment.js";
import { EventStream, type QuarryEvent } from "../../src/report/events.js";
import { fakeModel, mergeSnapshots, processesWith, until } from "../fixtures/fake-pool.js";
import { makeNetNodes, type NetNodes, whyNoNamespaces } from "../fixtures/net-nodes.js";
import { textUnits } from "../fixtures/text-units.js";

const reason = whyNoNamespaces();
if (reason !== null) process.stderr.write(`Skipped, nodes as network namespaces: ${reason}.\n`);

const units = textUnits(160, 8);
const marker = `real-nodes-${process.pid}`;
let folder: string;
let python: PythonEnvironment;
let model: typeof fakeModel;
let nodes: NetNodes;
let local: { readonly vectors: Buffer; readonly dimension: number };

interface Opened {
  readonly pool: WorkerPool;
  readonly events: QuarryEvent[];
  told(): string;
}

async function withPool<Result>(
  given: Partial<WorkersConfig>,
  work: (opened: Opened) => Promise<Result>,
): Promise<Result> {
  const stream = new EventStream();
  const events: QuarryEvent[] = [];
  stream.subscribe((event) => events.push(event));
  const workers = { ...workersSchema.parse({ count: 0, device: "cpu", threads: 1, batchSize: 4 }), ...given };
  const runDir = mkdtempSync(join(folder, "run-"));
  const surroundings = { python, logDir: join(runDir, "logs"), runDir, events: stream };
  const launch = launchNodes({ nodes: workers.nodes, ...surroundings });
  const pool = await openPool({ workers, ...surroundings, ...(workers.nodes.length === 0 ? {} : { launch }) });
  const told = (): string => JSON.stringify(events.filter(({ type }) => type === "warning" || type === "notice"));
  try {
    return await work({ pool, events, told });
  } finally {
    await pool.close();
    expect(processesWith(`QUARRY_TEST_MARKER=${marker}`)).toEqual([]);
  }
}

/** `persistMs`: how long each unit takes to become durable, so that there is a middle in which something can break. */
async function encodeAll(pool: WorkerPool, persistMs = 0, onUnit: (count: number) => void = () => {}): Promise<Buffer> {
  const parts: Buffer[] = [];
  let count = 0;
  const outcome = await pool.encode({
    phase: "encode",
    model,
    units,
    side: "passage",
    onVectors: async (index, vectors) => {
      parts[index] = Buffer.from(vectors.bytes);
      onUnit(++count);
      await delay(persistMs);
    },
  });
  expect(outcome.failed).toEqual([]);
  return Buffer.concat(parts);
}

async function searchAll(pool: WorkerPool): Promise<unknown> {
  const [queryCount, topK, { dimension }] = [3, 10, local];
  const queries = Float32Array.from({ length: queryCount * dimension }, (_, index) => Math.sin(index));
  const snapshots = new Map<string, Snapshot>();
  await pool.search({
    ...{ phase: "search", model, units, topK, similarity: "dot", isNormalizing: false },
    ...{ queries, queryCount, dimension, snapshotEveryUnits: 4 },
    onSnapshot: async (snapshot) => void snapshots.set(snapshot.session, snapshot),
  });
  return mergeSnapshots(snapshots, queryCount, topK);
}

const onNodes = (): Partial<WorkersConfig> => ({
  listen: `tcp://${nodes.address}:0`,
  heartbeatTimeoutMs: 3_000,
  nodes: workersSchema.parse({
    nodes: nodes.names.map((host) => ({ kind: "ssh", host, workers: 1, threads: 1, device: "cpu" })),
  }).nodes,
});

/** Processes that compute on a node, by the end of their name in the ticket's hello. */
const workersOn = (): number[] =>
  processesWith(`QUARRY_TEST_MARKER=${marker}`).filter((pid) => {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return words.includes("--guest");
  });

describe.skipIf(reason !== null)("nodes without a shared disk", () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "quarry-test-nodes-"));
    const found = await findPython();
    const checkpoint = join(folder, "model");
    await execa(found.executable, ["test/fixtures/tiny_model.py", checkpoint], { env: found.env });
    nodes = makeNetNodes(2, folder, checkpoint);
    const path = `${nodes.bin}:${found.env["PATH"] ?? ""}`;
    python = { ...found, env: { ...found.env, PATH: path, QUARRY_TEST_MARKER: marker } };
    model = { ...fakeModel, checkpoint, dtype: "float32" };
    local = await withPool({ count: 1 }, async ({ pool }) => {
      const { dimension } = await pool.describe(model);
      return { vectors: await encodeAll(pool), dimension };
    });
  });
  afterAll(() => {
    nodes.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it("encode and search as local workers do, with a model that came over the wire and no secret in sight", async () => {
    const here = await withPool({ count: 1 }, ({ pool }) => searchAll(pool));
    await withPool(onNodes(), async ({ pool, events, told }) => {
      await pool.describe(model);
      await until(
        () =>
          workersOn().length === 2 &&
          events.filter((event) => event.type === "worker" && event.state === "ready").length >= 2,
      );
      const vectors = await encodeAll(pool, 20);
      expect(vectors.equals(local.vectors)).toBe(true);
      expect(await searchAll(pool)).toEqual(here);
      for (const name of nodes.names) {
        const [model] = readdirSync(join(nodes.cacheOf(name), "models"));
        expect(readdirSync(join(nodes.cacheOf(name), "models", model ?? ""))).toContain("model.safetensors");
      }
      const seen = processesWith(`QUARRY_TEST_MARKER=${marker}`).map((pid) =>
        ["cmdline", "environ"].map((name) => readFileSync(`/proc/${pid}/${name}`, "latin1")).join(),
      );
      expect(seen.length).toBeGreaterThan(3);
      expect(seen.join()).not.toContain("quarry1.");
      expect(told()).not.toContain("quarry1.");
    });
  });

  it("give the same when a worker is killed: it is started again and comes back", async () => {
    await withPool(onNodes(), async ({ pool, told }) => {
      await pool.describe(model);
      await until(() => workersOn().length === 2, 60_000);
      let victim = 0;
      const vectors = await encodeAll(pool, 300, (count) => {
        if (count !== 20) return;
        victim = workersOn()[0] ?? 0;
        process.kill(victim, "SIGKILL");
      });
      expect(vectors.equals(local.vectors)).toBe(true);
      expect(victim).toBeGreaterThan(0);
      expect(told()).toContain("lost its connection");
      await until(() => workersOn().length === 2 && !workersOn().includes(victim));
    });
  });

  it("give the same when a link is cut, and take part again once it is mended", async () => {
    await withPool(onNodes(), async ({ pool, told, events }) => {
      await pool.describe(model);
      await until(
        () => events.filter((event) => event.type === "notice" && event.message.includes("joined")).length === 2,
        60_000,
      );
      const [cut = ""] = nodes.names;
      const joins = (): number =>
        events.filter((event) => event.type === "notice" && event.message.includes("joined")).length;
      const vectors = await encodeAll(pool, 1_000, (count) => {
        if (count !== 20) return;
        nodes.link(cut, "down");
        void until(() => told().includes("was silent"), 60_000).then(() => nodes.link(cut, "up"));
      });
      expect(vectors.equals(local.vectors)).toBe(true);
      expect(told()).toContain("was silent for");
      await until(() => joins() === 3, 60_000);
    });
  });
});
