/** The pool with processes of its own over the real wire: every unit once, nothing left behind. */
import { existsSync, mkdtempSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { execa } from "execa";
import { afterEach, describe, expect, it } from "vitest";
import type { Snapshot } from "../../src/pool/types.js";
import { PROTOCOL_VERSION } from "../../src/protocol/version.js";
import {
  collectVectors,
  expectedTopK,
  type FakePool,
  fakeModel,
  fakeUnits,
  type Misbehaviour,
  mergeSnapshots,
  openFakePool,
  socketFolders,
  until,
} from "../fixtures/fake-pool.js";
import { ownTemporaryFolder } from "../fixtures/own-temporary.js";

ownTemporaryFolder();
let fake: FakePool | null = null;
afterEach(async () => {
  const { close, pids } = fake ?? { close: async () => {}, pids: () => [] };
  await close();
  fake = null;
  expect(pids()).toEqual([]);
});
const open = async (...args: Parameters<typeof openFakePool>): Promise<FakePool> => {
  fake = await openFakePool(...args);
  return fake;
};

describe("a pool", () => {
  it("encodes every unit once and says what the model is", async () => {
    const { pool, events } = await open({});
    const { job, vectors, times, expected } = collectVectors(fakeUnits(50));
    const outcome = await pool.encode(job);
    expect(vectors.size).toBe(50);
    for (const [index, values] of vectors) expect(values).toEqual(expected(index));
    expect([...times.values()].every((count) => count === 1)).toBe(true);
    expect(outcome).toMatchObject({ failed: [], rowCount: 200, contract: { architecture: "Fake", dimension: 2 } });
    expect(events.findLast(({ type }) => type === "progress")).toMatchObject({ done: 200, total: 200, phase: "test" });
    expect(events.some((event) => event.type === "worker" && event.state === "loading")).toBe(true);
  });

  it("leaves out the units that are done and ends at once when all are", async () => {
    const { pool } = await open({});
    const { job, vectors } = collectVectors(fakeUnits(10));
    const outcome = await pool.encode({ ...job, isDone: (index) => index % 2 === 0 });
    expect([...vectors.keys()].sort()).toEqual([1, 3, 5, 7, 9]);
    expect(outcome.rowCount).toBe(20);
    const nothing = await pool.encode({ ...job, isDone: () => true });
    expect(nothing).toMatchObject({ rowCount: 0, seconds: 0 });
  });

  it("searches with every unit in exactly one snapshot", async () => {
    const { pool } = await open({});
    const snapshots = new Map<string, Snapshot>();
    const outcome = await pool.search({
      phase: "test",
      model: fakeModel,
      units: fakeUnits(40),
      topK: 7,
      similarity: "dot",
      isNormalizing: false,
      queries: new Float32Array(10),
      queryCount: 5,
      dimension: 2,
      snapshotEveryUnits: 6,
      onSnapshot: async (snapshot) => {
        snapshots.set(snapshot.session, snapshot);
      },
    });
    expect(outcome.rowCount).toBe(160);
    const covered = [...snapshots.values()].flatMap(({ units }) => units);
    expect(covered.sort((left, right) => left - right)).toEqual(Array.from({ length: 40 }, (_, index) => index));
    expect(mergeSnapshots(snapshots, 5, 7)).toEqual(expectedTopK(160, 5, 7));
  });

  it("does one job after the other with the same processes", async () => {
    const { pool, pids } = await open({});
    await pool.describe(fakeModel);
    const before = pids();
    const first = collectVectors(fakeUnits(10));
    const second = collectVectors(fakeUnits(12));
    await Promise.all([pool.encode(first.job), pool.encode(second.job)]);
    expect([first.vectors.size, second.vectors.size]).toEqual([10, 12]);
    expect(pids()).toEqual(before);
  });

  it("hands each worker its threads, also for the libraries that read them on import", async () => {
    const { pool, events } = await open({}, { count: 1, threads: 3 });
    await pool.describe(fakeModel);
    expect(events.find((event) => event.type === "worker" && event.device === "cpu")).toBeDefined();
    expect(pool.size).toBe(1);
  });

  it("gives a unit up at once when trying again is no use, and names its rows", async () => {
    const { pool, warnings } = await open({ reject: ["u-3"] });
    const { job, vectors } = collectVectors(fakeUnits(10));
    const outcome = await pool.encode(job);
    expect(vectors.size).toBe(9);
    expect(outcome.failed).toEqual([
      {
        unit: "u-3",
        rows: Int32Array.of(12),
        unitRows: Int32Array.of(12, 13, 14, 15),
        code: "DATA",
        message: "1 embedding is not finite",
      },
    ]);
    expect(warnings()).toContain("Unit u-3 is given up: 1 embedding is not finite.");
  });

  it("drops answers to leases that it did not give, and second answers", async () => {
    const { pool } = await open({ late: ["u-1", "u-2", "u-7"] });
    const { job, times } = collectVectors(fakeUnits(10));
    expect((await pool.encode(job)).rowCount).toBe(40);
    expect([...times.values()]).toEqual(new Array(10).fill(1));
  });

  it("ends with the job's own error when a result cannot be kept", async () => {
    const { pool } = await open({});
    const { job } = collectVectors(fakeUnits(10));
    const full = pool.encode({ ...job, onVectors: () => Promise.reject(new Error("ENOSPC: no space left")) });
    await expect(full).rejects.toThrow("no space left");
    const again = collectVectors(fakeUnits(5));
    await pool.encode(again.job);
    expect(again.vectors.size).toBe(5);
  });

  it("ends with the job's own error when a unit cannot be read", async () => {
    const { pool } = await open({});
    const { job } = collectVectors(fakeUnits(10));
    const frame = (): Uint8Array => {
      throw new Error("block 7 of corpus.arrow is damaged");
    };
    await expect(pool.encode({ ...job, units: { ...job.units, frame } })).rejects.toThrow("is damaged");
  });
});

describe("opening and closing", () => {
  it("leaves no descriptor, no listener and no folder behind, however often", async () => {
    const descriptors = (): number => readdirSync("/proc/self/fd").length;
    const once = async (): Promise<void> => {
      const opened = await openFakePool({}, { count: 1 });
      await opened.close();
    };
    await once();
    const before = { descriptors: descriptors(), folders: socketFolders(), listeners: process.listenerCount("exit") };
    for (let round = 0; round < 30; round += 1) await once();
    expect(socketFolders()).toEqual(before.folders);
    expect(process.listenerCount("exit")).toBe(before.listeners);
    await until(() => descriptors() <= before.descriptors + 2);
  });

  it("removes what an orchestrator that was killed left, and nothing that is in use or not its own", async () => {
    const make = (): string => mkdtempSync(join(tmpdir(), "quarry-"));
    const [dead, young, foreign] = [make(), make(), make()];
    const listen = "require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))";
    for (const folder of [dead, young]) await execa("node", ["-e", listen, join(folder, "s")], { reject: false });
    const old = new Date(Date.now() - 120_000);
    for (const folder of [dead, foreign]) utimesSync(folder, old, old);
    const living = await open({}, { count: 1 });
    const used = socketFolders().filter((name) => name !== basename(young));
    for (const name of used) utimesSync(join(tmpdir(), name), old, old);
    const other = await openFakePool({}, { count: 1 });
    await other.close();
    expect([dead, young, foreign].map((folder) => existsSync(folder))).toEqual([false, true, true]);
    await living.pool.describe(fakeModel);
    for (const folder of [young, foreign]) rmSync(folder, { recursive: true });
  });

  it("leaves none behind either when workers came and went", async () => {
    const descriptors = (): number => readdirSync("/proc/self/fd").length;
    const once = async (): Promise<void> => {
      const opened = await openFakePool({}, { count: 1 });
      await opened.pool.describe(fakeModel);
      await opened.close();
      expect(opened.pids()).toEqual([]);
    };
    await once();
    const before = descriptors();
    for (let round = 0; round < 3; round += 1) await once();
    await until(() => descriptors() <= before + 2);
  });
});

describe("a stop on request", () => {
  it("keeps what is in hand and leaves the rest", async () => {
    const stop = new AbortController();
    const { pool } = await open({ secondsPerUnit: 0.05 });
    const { job, times } = collectVectors(fakeUnits(5_000));
    const working = pool.encode({ ...job, signal: stop.signal });
    await until(() => times.size >= 5);
    stop.abort();
    await expect(working).rejects.toMatchObject({ code: "INTERRUPTED" });
    const kept = times.size;
    expect(kept).toBeLessThan(60);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(times.size).toBe(kept);
  });

  it("hands in what a search has done", async () => {
    const stop = new AbortController();
    const { pool } = await open({ secondsPerUnit: 0.02 });
    const covered = new Map<string, number>();
    const working = pool.search({
      phase: "test",
      model: fakeModel,
      units: fakeUnits(5_000),
      topK: 3,
      similarity: "dot",
      isNormalizing: false,
      queries: new Float32Array(4),
      queryCount: 2,
      dimension: 2,
      snapshotEveryUnits: 5_000,
      signal: stop.signal,
      onSnapshot: async ({ session, units }) => {
        covered.set(session, units.length);
      },
    });
    await until(() => (fake?.events ?? []).some((event) => event.type === "progress" && event.done >= 20));
    expect(covered.size).toBe(0);
    stop.abort();
    await expect(working).rejects.toMatchObject({ code: "INTERRUPTED" });
    expect([...covered.values()].reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(5);
  });

  it("works before anything has started", async () => {
    const { pool } = await open({}, {}, { signal: AbortSignal.abort() });
    await expect(pool.describe(fakeModel)).rejects.toMatchObject({ code: "INTERRUPTED" });
  });

  it("is what closing means for a job at work", async () => {
    const opened = await open({ secondsPerUnit: 0.5 });
    const { job } = collectVectors(fakeUnits(100));
    const working = opened.pool.encode(job);
    const ended = working.catch((thrown: unknown) => thrown);
    await until(() => opened.events.some((event) => event.type === "worker" && event.state === "busy"));
    await opened.pool.close();
    expect(await ended).toMatchObject({ code: "INTERRUPTED" });
    expect(opened.pids()).toEqual([]);
  });
});

describe("a pool that cannot work", () => {
  const fails = async (misbehaviour: Misbehaviour, code: string, ...texts: string[]): Promise<void> => {
    const { pool } = await open(misbehaviour);
    const error = await pool.describe(fakeModel).then(
      () => null,
      (thrown: Error) => thrown,
    );
    expect(error).toMatchObject({ code });
    for (const text of texts) expect(error?.message).toContain(text);
  };

  it("quotes the last lines of workers that die before they are ready", () =>
    fails(
      { early: ["worker-0", "worker-1"] },
      "WORKER",
      "twice in a row",
      "ended with status 3",
      "no room for the model",
    ));

  it("goes on without a worker that cannot start", async () => {
    const { pool, warnings } = await open({ early: ["worker-1"], secondsPerUnit: 0.05 });
    const { job, vectors } = collectVectors(fakeUnits(30));
    await pool.encode(job);
    expect(vectors.size).toBe(30);
    await pool.describe(fakeModel);
    expect(warnings().join("\n")).toContain("worker-1 ended with status 3");
  });

  it("passes on what a worker says is wrong for good", () =>
    fails(
      { fatal: { code: "ENVIRONMENT", message: "no such model: fake", hint: "Check the name.", isRetryable: false } },
      "ENVIRONMENT",
      "no such model: fake",
    ));

  it("names the version of a worker of another release", () =>
    fails({ version: 4 }, "PROTOCOL", `speaks protocol version 4, this is version ${PROTOCOL_VERSION}`));

  it("turns a process with another token away", () => fails({ token: "guessed" }, "WORKER", "another token"));

  it("refuses workers whose models differ", () =>
    fails({ fingerprints: { "worker-1": "other" } }, "CONFIG", "another model", "fake-other"));

  it("says so when the program cannot be started", async () => {
    const opened = await open({});
    await opened.close();
    const { openPool } = await import("../../src/pool/pool.js");
    const { workersSchema } = await import("../../src/experiment/schema.js");
    const { EventStream } = await import("../../src/report/events.js");
    const broken = await openPool({
      workers: workersSchema.parse({ count: 1, device: "cpu" }),
      python: { executable: "/nowhere/python", env: {} },
      logDir: opened.logDir,
      events: new EventStream(),
    });
    await expect(broken.describe(fakeModel)).rejects.toThrow("could not be started");
    await broken.close();
  });
});
