/** Workers that die, hang, lie and are strangers: every unit comes out once, the job goes on, nothing is left behind. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { crc32 } from "node:zlib";
import { encode } from "@msgpack/msgpack";
import { execa } from "execa";
import { afterEach, describe, expect, it, onTestFinished } from "vitest";
import { Dealer } from "zeromq";
import type { Snapshot } from "../../src/pool/types.js";
import {
  collectVectors,
  expectedTopK,
  type FakePool,
  fakeModel,
  fakeUnits,
  mergeSnapshots,
  openFakePool,
  processesWith,
  until,
} from "../fixtures/fake-pool.js";

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

/** Kills one of those at work, another one each round. */
function killOne(round: number): void {
  const pids = fake?.ready() ?? [];
  process.kill(pids[round % pids.length] as number, "SIGKILL");
}

/** How often the pool has told that a worker died. */
const deaths = (): number =>
  (fake?.events ?? []).filter((event) => event.type === "worker" && event.state === "lost").length;

/** Where the workers of the one pool that is open in this process connect. */
function endpoint(): string {
  const { ticket } = JSON.parse(readFileSync(join(fake?.runDir ?? "", "pool.json"), "utf8")) as { ticket: string };
  return (JSON.parse(readFileSync(ticket, "utf8")) as { endpoint: string }).endpoint;
}

describe("a worker killed at any moment", () => {
  it("leaves its work to others: encoding gives every vector once, at 12 moments", async () => {
    const { pool, warnings } = await open({ secondsPerUnit: 0.01 }, { count: 3 });
    await pool.describe(fakeModel);
    for (let round = 0; round < 12; round += 1) {
      const { job, vectors, times, expected } = collectVectors(fakeUnits(40));
      const onVectors = async (...vector: Parameters<typeof job.onVectors>): Promise<void> => {
        await job.onVectors(...vector);
        if (times.size === 1 + 3 * round) killOne(round);
      };
      const outcome = await pool.encode({ ...job, onVectors });
      expect(outcome.failed).toEqual([]);
      expect(vectors.size).toBe(40);
      for (const [index, values] of vectors) expect(values).toEqual(expected(index));
      expect([...times.values()].every((count) => count === 1)).toBe(true);
      await until(() => deaths() === round + 1);
    }
    // A worker that dies just after its job is nobody's loss, and no warning.
    expect(warnings()).not.toEqual([]);
    for (const text of warnings()) expect(text).toMatch(/was killed by SIGKILL with .* in hand/);
  });

  it("leaves its work to others: searching gives the same top-k", async () => {
    const { pool } = await open({ secondsPerUnit: 0.01 }, { count: 3 });
    await pool.describe(fakeModel);
    for (let round = 0; round < 6; round += 1) {
      const snapshots = new Map<string, Snapshot>();
      let seen = 0;
      const outcome = await pool.search({
        phase: "test",
        model: fakeModel,
        units: fakeUnits(40),
        topK: 5,
        similarity: "dot",
        isNormalizing: false,
        queries: new Float32Array(6),
        queryCount: 3,
        dimension: 2,
        snapshotEveryUnits: 4,
        onSnapshot: async (snapshot) => {
          seen += 1;
          // There are ten: each has four units at most.
          if (seen === 1 + round) killOne(round);
          await new Promise((resolve) => setTimeout(resolve, 5));
          snapshots.set(snapshot.session, snapshot);
        },
      });
      expect(outcome.failed).toEqual([]);
      const covered = [...snapshots.values()].flatMap(({ units }) => units);
      expect(covered.sort((left, right) => left - right)).toEqual(Array.from({ length: 40 }, (_, index) => index));
      expect(mergeSnapshots(snapshots, 3, 5)).toEqual(expectedTopK(160, 3, 5));
      await until(() => deaths() === round + 1);
    }
  });
});

describe("a unit that kills its worker each time", () => {
  it("is given up after three, with its rows, while the rest finish", async () => {
    const { pool } = await open({ die: ["u-5", "u-11"], secondsPerUnit: 0.005 });
    const { job, vectors, times } = collectVectors(fakeUnits(30));
    const outcome = await pool.encode(job);
    expect(outcome.failed.map(({ unit }) => unit).sort()).toEqual(["u-11", "u-5"]);
    const failed = outcome.failed.find(({ unit }) => unit === "u-5");
    expect(failed).toMatchObject({ code: "WORKER", rows: Int32Array.of(20, 21, 22, 23) });
    expect(failed?.message).toMatch(/was at work on it and was killed by SIGKILL \(attempt 3 of 3\)/);
    expect(vectors.size).toBe(28);
    expect([...times.values()].every((count) => count === 1)).toBe(true);
  });

  it("costs a search no unit but itself", async () => {
    const { pool } = await open({ die: ["u-3"] });
    const snapshots = new Map<string, Snapshot>();
    const outcome = await pool.search({
      phase: "test",
      model: fakeModel,
      units: fakeUnits(20),
      topK: 5,
      similarity: "dot",
      isNormalizing: false,
      queries: new Float32Array(4),
      queryCount: 2,
      dimension: 2,
      snapshotEveryUnits: 100,
      onSnapshot: async (snapshot) => {
        snapshots.set(snapshot.session, snapshot);
      },
    });
    expect(outcome.failed.map(({ unit }) => unit)).toEqual(["u-3"]);
    const covered = [...snapshots.values()].flatMap(({ units }) => units);
    expect(covered.sort((left, right) => left - right)).toEqual(
      Array.from({ length: 20 }, (_, index) => index).filter((index) => index !== 3),
    );
  });

  it("is tried again alone when it only failed, and given up by its own message", async () => {
    const { pool } = await open({ retry: ["u-2"] });
    const { job, vectors } = collectVectors(fakeUnits(8));
    const outcome = await pool.encode(job);
    expect(vectors.size).toBe(7);
    expect(outcome.failed[0]?.message).toBe("1 embedding is not finite (attempt 3 of 3)");
  });
});

describe("a worker that hangs", () => {
  it("and is silent is killed, and its work done by another", async () => {
    const { pool, warnings } = await open({ stop: ["u-4"], secondsPerUnit: 0.005 }, { heartbeatTimeoutMs: 3_000 });
    const { job, vectors, times } = collectVectors(fakeUnits(20));
    const outcome = await pool.encode(job);
    expect(outcome.failed).toEqual([]);
    expect(vectors.size).toBe(20);
    expect([...times.values()].every((count) => count === 1)).toBe(true);
    // Answers to units before it may have stopped with it.
    expect(warnings().join("\n")).toMatch(/was silent for .* s and was killed with (u-\d+, )*u-4\b/);
  });

  it("while its heart beats is killed too, once its time for a unit is up", async () => {
    const { pool, warnings } = await open({ hangOnce: ["u-4"] }, { unitTimeoutMs: 3_000 });
    const { job, vectors } = collectVectors(fakeUnits(20));
    const outcome = await pool.encode(job);
    expect(outcome.failed).toEqual([]);
    expect(vectors.size).toBe(20);
    expect(warnings().join("\n")).toMatch(/made no progress for .* s and was killed with u-4/);
  });

  it("is not what a busy orchestrator takes healthy workers for", async () => {
    const { pool, warnings } = await open({ secondsPerUnit: 0.02 }, { heartbeatTimeoutMs: 5_000 });
    const { job, times } = collectVectors(fakeUnits(60));
    const working = pool.encode(job);
    await until(() => times.size >= 5);
    // Longer than its patience without a turn of the event loop.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 7_000);
    await working;
    expect(times.size).toBe(60);
    expect(warnings()).toEqual([]);
  });
});

describe("what does not follow the protocol", () => {
  it.each([
    ["bytes that are no message", { garbage: ["u-3"] }],
    ["a result of another shape", { misshapen: ["u-3"] }],
  ])("from a worker drops that worker, not the job: %s", async (_, misbehaviour) => {
    const { pool, warnings } = await open({ ...misbehaviour, secondsPerUnit: 0.005 });
    const { job, vectors, times } = collectVectors(fakeUnits(20));
    const outcome = await pool.encode(job);
    expect(outcome.failed).toEqual([]);
    expect(vectors.size).toBe(20);
    expect([...times.values()].every((count) => count === 1)).toBe(true);
    expect(warnings().filter((text) => text.includes("broke the protocol"))).toHaveLength(1);
  });

  it("from a command of another release is not held against a worker that dies before its hello", async () => {
    const gates = mkdtempSync(join(tmpdir(), "quarry-test-gate-"));
    onTestFinished(() => rmSync(gates, { recursive: true }));
    const greetUntil = join(gates, "may-greet");
    const { pool, pids, warnings } = await open({ greetUntil });
    const described = pool.describe(fakeModel);
    await until(() => pids().length === 2);
    const dealer = new Dealer({ linger: 0 });
    dealer.connect(endpoint());
    const header = encode({ type: "hello", v: 3, role: "control", pid: 1 });
    const trailer = Buffer.alloc(4);
    trailer.writeUInt32LE(crc32(header));
    await dealer.send([header, trailer]);
    await until(() => warnings().some((text) => text.includes("speaks protocol version 3")));
    dealer.close();
    process.kill(pids()[0] as number, "SIGKILL");
    await until(() => deaths() === 1);
    writeFileSync(greetUntil, "");
    expect(await described).toMatchObject({ architecture: "Fake" });
    expect(warnings()[1]).toMatch(/^worker-\d was killed by SIGKILL with nothing in hand; it is started again\.$/);
  });

  it("from strangers is turned away in bulk and told once", async () => {
    const { pool, warnings } = await open({ secondsPerUnit: 0.02 });
    const { job, times } = collectVectors(fakeUnits(60));
    const working = pool.encode(job);
    await until(() => times.size >= 2);
    const address = endpoint();
    expect(address).toMatch(/^ipc:/);
    const dealers = Array.from({ length: 20 }, () => new Dealer({ linger: 0 }));
    for (const dealer of dealers) {
      dealer.connect(address);
      for (let index = 0; index < 50; index += 1) {
        await dealer.send([Buffer.from("garbage"), Buffer.alloc(index, 0xff), Buffer.alloc(4)]);
      }
    }
    for (let index = 0; index < 500; index += 1) {
      await new Promise<void>((resolve) => {
        const socket = connect(address.slice("ipc://".length), () => socket.end(Buffer.alloc(200, index), resolve));
        socket.on("error", () => resolve());
      });
    }
    await working;
    await until(() => warnings().length > 0);
    for (const dealer of dealers) dealer.close();
    expect(times.size).toBe(60);
    expect(warnings()).toHaveLength(1);
    expect(warnings()[0]).toContain("A stranger was turned away");
  });
});

describe("an orchestrator that is killed", () => {
  it.each(["SIGKILL", "SIGTERM", "exit"])("by %s leaves no process behind", async (how) => {
    const marker = `QUARRY_TEST_ORCHESTRATOR=${process.pid}-${Math.random()}`;
    const [name = "", value = ""] = marker.split("=");
    const script = fileURLToPath(new URL("../fixtures/pool-orchestrator.ts", import.meta.url));
    const orchestrator = execa("node", ["scripts/on-build.mjs", script, how], {
      env: { [name]: value },
      reject: false,
      buffer: false,
    });
    let said = "";
    orchestrator.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await until(() => said.includes("busy"));
    const pids = processesWith(marker);
    expect(pids).toHaveLength(3);
    if (how === "exit") orchestrator.stdin.end();
    else orchestrator.kill(how as NodeJS.Signals);
    await orchestrator;
    await until(() => processesWith(marker).length === 0);
  });
});
