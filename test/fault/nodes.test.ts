/** Other machines, as network namespaces: their results are byte for byte those of local workers, whatever breaks on the way. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type WorkersConfig, workersSchema } from "../../src/experiment/schema.js";
import type { Snapshot, WorkerPool } from "../../src/pool/types.js";
import { mergeSnapshots, processesWith, until } from "../fixtures/fake-pool.js";
import { makeNetNodes, type NetNodes, whyNoNamespaces } from "../fixtures/net-nodes.js";
import {
  encodeAll,
  guestsOf,
  type NodeBench,
  type Opened,
  openNodeBench,
  UNITS,
  withNodePool,
} from "../fixtures/node-pool.js";

const reason = whyNoNamespaces();
if (reason !== null) process.stderr.write(`Skipped, nodes as network namespaces: ${reason}.\n`);

let folder: string;
let bench: NodeBench;
let nodes: NetNodes;
let local: { readonly vectors: Buffer; readonly dimension: number };

const withPool = <Result>(given: Partial<WorkersConfig>, work: (opened: Opened) => Promise<Result>): Promise<Result> =>
  withNodePool(bench, given, work);

async function searchAll(pool: WorkerPool): Promise<unknown> {
  const [queryCount, topK, { dimension }] = [3, 10, local];
  const queries = Float32Array.from({ length: queryCount * dimension }, (_, index) => Math.sin(index));
  const snapshots = new Map<string, Snapshot>();
  await pool.search({
    ...{ phase: "search", model: bench.model, units: UNITS, topK, similarity: "dot", isNormalizing: false },
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

const workersOn = (): number[] => guestsOf(bench);

describe.skipIf(reason !== null)("nodes without a shared disk", () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "quarry-test-nodes-"));
    const found = await openNodeBench(folder);
    nodes = makeNetNodes(2, folder, found.model.checkpoint);
    const { python } = found;
    bench = {
      ...found,
      python: { ...python, env: { ...python.env, PATH: `${nodes.bin}:${python.env["PATH"] ?? ""}` } },
    };
    local = await withPool({ count: 1 }, async ({ pool }) => {
      const { dimension } = await pool.describe(bench.model);
      return { vectors: await encodeAll(bench, pool), dimension };
    });
  });
  afterAll(() => {
    nodes.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it("encode and search as local workers do, with a model that came over the wire and no secret in sight", async () => {
    const here = await withPool({ count: 1 }, ({ pool }) => searchAll(pool));
    await withPool(onNodes(), async ({ pool, events, told }) => {
      await pool.describe(bench.model);
      await until(
        () =>
          workersOn().length === 2 &&
          events.filter((event) => event.type === "worker" && event.state === "ready").length >= 2,
      );
      const vectors = await encodeAll(bench, pool, 20);
      expect(vectors.equals(local.vectors)).toBe(true);
      expect(await searchAll(pool)).toEqual(here);
      for (const name of nodes.names) {
        const [model] = readdirSync(join(nodes.cacheOf(name), "models"));
        expect(readdirSync(join(nodes.cacheOf(name), "models", model ?? ""))).toContain("model.safetensors");
      }
      const seen = processesWith(bench.marker).map((pid) =>
        ["cmdline", "environ"].map((name) => readFileSync(`/proc/${pid}/${name}`, "latin1")).join(),
      );
      expect(seen.length).toBeGreaterThan(3);
      expect(seen.join()).not.toContain("quarry1.");
      expect(told()).not.toContain("quarry1.");
    });
  });

  it("give the same when a worker is killed: it is started again and comes back", async () => {
    await withPool(onNodes(), async ({ pool, told }) => {
      await pool.describe(bench.model);
      await until(() => workersOn().length === 2, 60_000);
      let victim = 0;
      const vectors = await encodeAll(bench, pool, 300, (count) => {
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
      await pool.describe(bench.model);
      await until(
        () => events.filter((event) => event.type === "notice" && event.message.includes("joined")).length === 2,
        60_000,
      );
      const [cut = ""] = nodes.names;
      const joins = (): number =>
        events.filter((event) => event.type === "notice" && event.message.includes("joined")).length;
      const vectors = await encodeAll(bench, pool, 1_000, (count) => {
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
