/** Other machines, as network namespaces: their results are byte for byte those of local workers, whatever breaks on the way. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type WorkersConfig, workersSchema } from "../../src/experiment/schema.js";
import type { Snapshot, WorkerPool } from "../../src/pool/types.js";
import { mergeSnapshots, ofProcess, processesWith, until } from "../fixtures/fake-pool.js";
import { makeNetNodes, type NetNodes, whyNoNamespaces } from "../fixtures/net-nodes.js";
import {
  encodeAll,
  guestsOf,
  type NodeBench,
  type Opened,
  openNodeBench,
  openNodePool,
  UNITS,
  withNodePool,
} from "../fixtures/node-pool.js";

const reason = whyNoNamespaces();
if (reason !== null) process.stderr.write(`Skipped, nodes as network namespaces: ${reason}.\n`);

let folder: string;
let bench: NodeBench;
let nodes: NetNodes;
let local: { readonly vectors: Buffer; readonly found: unknown };
let remote: Opened;

async function searchAll(pool: WorkerPool): Promise<unknown> {
  const { dimension } = await pool.describe(bench.model);
  const [queryCount, topK] = [3, 10];
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
  // Four times as long for one that loads must be less than the 30 s after which it leaves by itself.
  heartbeatTimeoutMs: 5_000,
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
    local = await withNodePool(bench, { count: 1 }, async ({ pool }) => ({
      vectors: await encodeAll(bench, pool),
      found: await searchAll(pool),
    }));
    remote = await openNodePool(bench, onNodes());
    await remote.pool.describe(bench.model);
    await until(() => workersOn().length === 2 && joins() === 2);
  });
  afterAll(async () => {
    await remote.pool.close();
    await until(() => processesWith(bench.marker).length === 0);
    nodes.remove();
    rmSync(folder, { recursive: true, force: true });
  });
  const joins = (): number =>
    remote.events.filter((event) => event.type === "notice" && event.message.includes("joined")).length;

  it("encode and search as local workers do, with a model that came over the wire and no secret in sight", async () => {
    const { pool, told } = remote;
    expect((await encodeAll(bench, pool, 20)).equals(local.vectors)).toBe(true);
    expect(await searchAll(pool)).toEqual(local.found);
    for (const name of nodes.names) {
      const [model] = readdirSync(join(nodes.cacheOf(name), "models"));
      expect(readdirSync(join(nodes.cacheOf(name), "models", model ?? ""))).toContain("model.safetensors");
    }
    const seen = processesWith(bench.marker).map((pid) => ofProcess(pid, "cmdline") + ofProcess(pid, "environ"));
    expect(seen.length).toBeGreaterThan(3);
    expect(seen.join()).not.toContain("quarry1.");
    expect(told()).not.toContain("quarry1.");
  });

  it("give the same when a worker is killed: it is started again and comes back", async () => {
    const { pool, told } = remote;
    const [victim = 0] = workersOn();
    const vectors = await encodeAll(bench, pool, 100, (count) => {
      if (count === 20) process.kill(victim, "SIGKILL");
    });
    expect(vectors.equals(local.vectors)).toBe(true);
    expect(told()).toContain("lost its connection");
    await until(() => workersOn().length === 2 && !workersOn().includes(victim));
    await until(() => joins() >= 3);
  });

  it("give the same when a link is cut, and take part again once it is mended", async () => {
    const { pool, told } = remote;
    const [cut = ""] = nodes.names;
    const before = joins();
    const isSilent = () => told().includes("was silent");
    const vectors = await encodeAll(bench, pool, 0, async (count) => {
      if (count < 20) return;
      if (count === 20) nodes.link(cut, "down");
      // Nothing more is durable before: there is work left for the one that is not cut.
      await until(isSilent);
      if (count === 20) nodes.link(cut, "up");
    });
    expect(vectors.equals(local.vectors)).toBe(true);
    expect(told()).toContain("was silent for");
    await until(() => joins() > before);
  });
});
