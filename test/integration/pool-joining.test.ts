/** Workers that come by themselves over TCP: they join, leave, are drained, die and come back; no unit is lost or counted twice. */
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { drainWorker, listWorkers } from "../../src/pipeline/workers.js";
import type { Snapshot } from "../../src/pool/types.js";
import { type FakeGuest, startGuest } from "../fixtures/fake-guest.js";
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
import { later } from "./training-harness.js";

ownTemporaryFolder();
let fake: FakePool | null = null;
const guests: FakeGuest[] = [];
afterEach(async () => {
  const { close, pids } = fake ?? { close: async () => {}, pids: () => [] };
  await close();
  fake = null;
  for (const guest of guests.splice(0)) {
    guest.kill("SIGKILL");
    await guest.ended;
  }
  expect(pids()).toEqual([]);
});

const LISTEN = "tcp://127.0.0.1:0";
const NO_ROOM: Misbehaviour = {
  fatal: { code: "ENVIRONMENT", message: "No room for the model.", hint: "Set QUARRY_CACHE.", isRetryable: false },
};
async function open(
  misbehaviour: Misbehaviour,
  workers: Parameters<typeof openFakePool>[1] = {},
  options: Parameters<typeof openFakePool>[2] = {},
): Promise<FakePool> {
  fake = await openFakePool(misbehaviour, { listen: LISTEN, ...workers }, options);
  return fake;
}
async function come(name: string, misbehaviour: Misbehaviour = {}): Promise<FakeGuest> {
  const guest = await startGuest(join(fake?.runDir ?? "", "join.ticket"), name, misbehaviour);
  guests.push(guest);
  return guest;
}
const notes = (): string[] =>
  (fake?.events ?? []).flatMap((event) => (event.type === "notice" ? [`${event.message} ${event.hint ?? ""}`] : []));

describe("a pool that listens", () => {
  it("waits for workers when it has none of its own, and says how to join", async () => {
    const { pool, runDir } = await open({}, { count: 0 });
    const ticket = join(runDir, "join.ticket");
    expect(statSync(ticket).mode & 0o777).toBe(0o600);
    const { job, vectors, expected } = collectVectors(fakeUnits(30));
    const working = pool.encode(job);
    await until(() => notes().some((text) => text.includes("waits until one joins")));
    expect(notes().join("\n")).toContain(`npx quarry join --ticket ${ticket}`);
    // What opens the door stands in the private file only.
    const [, coded = ""] = readFileSync(ticket, "utf8").trim().split(".");
    const content = JSON.parse(Buffer.from(coded, "base64url").toString()) as Record<string, string>;
    expect(Object.keys(content)).toEqual(["endpoint", "token", "serverKey", "clientPublicKey", "clientSecretKey"]);
    for (const secret of [coded, content.token, content.clientSecretKey]) {
      expect(JSON.stringify(fake?.events)).not.toContain(secret);
    }
    await come("far.0");
    await come("far.0");
    const outcome = await working;
    expect(outcome).toMatchObject({ failed: [], rowCount: 120 });
    for (const [index, values] of vectors) expect(values).toEqual(expected(index));
    await until(() => notes().some((text) => text.includes("far.0-2 joined")));
    await fake?.close();
    expect(existsSync(ticket)).toBe(false);
    for (const guest of guests) expect((await guest.ended).exitCode).toBe(0);
  });

  it("tells workers of equal containers apart, whose name, host and pid are the same", async () => {
    const { pool, runDir, warnings } = await open({}, { count: 0 });
    await come("far.0", { pid: 2 });
    await come("far.0", { pid: 2 });
    await until(() => notes().some((text) => text.includes("far.0-2 joined")));
    expect((await listWorkers(runDir)).map(({ name }) => name).sort()).toEqual(["far.0", "far.0-2"]);
    expect(await pool.encode(collectVectors(fakeUnits(30)).job)).toMatchObject({ failed: [], rowCount: 120 });
    expect(warnings()).toEqual([]);
  });

  it("gives work to one that joins midway, also in a search: queries first, every unit in one snapshot", async () => {
    // One that is quick does nearly all of it, and has a minute to come.
    const { pool } = await open({ secondsPerUnit: 0.1 }, { count: 1 });
    const snapshots = new Map<string, Snapshot>();
    const working = pool.search(searchOf(snapshots, 600));
    await until(() => snapshots.size > 0);
    await come("far.0");
    const outcome = await working;
    expect(outcome).toMatchObject({ failed: [], rowCount: 2_400 });
    expect([...snapshots.keys()].some((session) => session.startsWith("far.0."))).toBe(true);
    const covered = [...snapshots.values()].flatMap(({ units }) => units);
    expect(covered.sort((left, right) => left - right)).toEqual(Array.from({ length: 600 }, (_, index) => index));
    expect(mergeSnapshots(snapshots, 5, 7)).toEqual(expectedTopK(2_400, 5, 7));
  });

  it("has use for fewer units than workers", async () => {
    const { pool } = await open({}, { count: 2 });
    await come("far.0");
    await come("far.1");
    await until(() => notes().filter((text) => text.includes("joined")).length === 2);
    for (const unitCount of [0, 1, 3]) {
      const { job, vectors } = collectVectors(fakeUnits(unitCount));
      expect(await pool.encode(job)).toMatchObject({ failed: [], rowCount: 4 * unitCount });
      expect(vectors.size).toBe(unitCount);
    }
  });

  it("opens no socket on a network unless it is asked to, and then the one it was asked for", async () => {
    const before = listening();
    const quiet = await openFakePool({});
    await quiet.pool.describe(fakeModel);
    expect(listening()).toEqual(before);
    await quiet.close();
    const { events } = await open({}, { count: 1 });
    const [own] = listening().filter((address) => !before.includes(address));
    const port = Number.parseInt(own?.split(":")[1] ?? "", 16);
    expect(own).toMatch(/^0100007F:/);
    expect(JSON.stringify(events)).toContain(`tcp://127.0.0.1:${port}`);
    await fake?.close();
    await until(() => listening().length === before.length);
  });

  it("can listen on the same port again at once, and says when another process has it", async () => {
    const { events } = await open({}, { count: 1 });
    const listen = /tcp:\/\/127\.0\.0\.1:\d+/.exec(JSON.stringify(events))?.[0] ?? "";
    await expect(openFakePool({}, { listen })).rejects.toThrow(`Workers cannot join at ${listen}`);
    await fake?.close();
    await open({}, { count: 1, listen });
  });

  it("warns when the user names a wildcard address", async () => {
    const { warnings } = await open({}, { count: 1, listen: "tcp://*:0" });
    expect(warnings().join()).toContain("Workers can join on every network of this machine");
  });

  it("says what is wrong with an address that it cannot listen on, and leaves nothing behind", async () => {
    const folders = socketFolders();
    for (const listen of ["tcp://192.0.2.1:4555", "tcp://no-such-host.invalid:4555"]) {
      await expect(openFakePool({}, { listen })).rejects.toMatchObject({ code: "CONFIG" });
    }
    expect(socketFolders()).toEqual(folders);
  });
});

describe("a worker that joined", () => {
  it("and has to leave finishes what it has, gets nothing new and ends by itself; a search loses nothing", async () => {
    const loaded = join(tmpdir(), `loaded-${process.pid}`);
    const { pool, warnings } = await open({ loadUntil: loaded }, { count: 1 });
    const guest = await come("far.0", { secondsPerUnit: 0.1 });
    await until(() => notes().some((text) => text.includes("joined")));
    const snapshots = new Map<string, Snapshot>();
    const working = pool.search({ ...searchOf(snapshots, 400), snapshotEveryUnits: 400 });
    await until(() => fake?.events.some((event) => event.type === "progress" && event.done > 0) === true);
    expect(snapshots.size).toBe(0);
    guest.kill("SIGTERM");
    expect((await guest.ended).exitCode).toBe(0);
    // Its share came in by a flush, long before 400 units were full.
    expect([...snapshots.keys()].map((session) => session.split(".")[0])).toEqual(["far"]);
    writeFileSync(loaded, "");
    expect(await working).toMatchObject({ failed: [], rowCount: 1_600 });
    const covered = [...snapshots.values()].flatMap(({ units }) => units);
    expect(covered.sort((left, right) => left - right)).toEqual(Array.from({ length: 400 }, (_, index) => index));
    expect(warnings()).toEqual([]);
  });

  it("and is killed is noticed by its connection's end; its work goes to others and its place is not refilled", async () => {
    // Nobody's silence would be noticed within this test.
    const { pool, warnings } = await open({ secondsPerUnit: 0.02 }, { count: 1, heartbeatTimeoutMs: 600_000 });
    await pool.describe(fakeModel);
    for (let round = 0; round < 4; round += 1) {
      const guest = await come(`far.${round}`, { secondsPerUnit: 600 });
      await until(() => notes().some((text) => text.includes(`far.${round} joined`)));
      const { job, vectors, times } = collectVectors(fakeUnits(60));
      const working = pool.encode(job);
      await until(() => fake?.events.some((each) => each.type === "worker" && isBusy(each, `far.${round}`)) === true);
      const before = warnings().length;
      guest.kill("SIGKILL");
      await until(() => warnings().length > before);
      expect(await working).toMatchObject({ failed: [], rowCount: 240 });
      expect(vectors.size).toBe(60);
      expect([...times.values()].every((count) => count === 1)).toBe(true);
    }
    expect(warnings().every((text) => /^far\.\d lost its connection with .* in hand/.test(text))).toBe(true);
  });

  it("and comes back over another connection goes by its old name; what it had is done again", async () => {
    const loaded = join(tmpdir(), `loaded-${process.pid}`);
    const { pool, runDir } = await open({ loadUntil: loaded }, { count: 1 });
    const guest = await come("far.0", { secondsPerUnit: 0.02 });
    await until(() => notes().some((text) => text.includes("joined")));
    const snapshots = new Map<string, Snapshot>();
    const sessions = (): number => [...snapshots.keys()].filter((session) => session.startsWith("far.0.")).length;
    const working = pool.search({ ...searchOf(snapshots, 2_000), snapshotEveryUnits: 3 });
    await until(() => sessions() === 1);
    guest.kill("SIGUSR1");
    await until(() => notes().filter((text) => text.includes("far.0 joined")).length === 2);
    expect((await listWorkers(runDir)).map(({ name }) => name).sort()).toEqual(["far.0", "worker-0"]);
    await until(() => sessions() === 2);
    writeFileSync(loaded, "");
    expect(await working).toMatchObject({ failed: [], rowCount: 8_000 });
    const covered = [...snapshots.values()].flatMap(({ units }) => units);
    expect(covered.sort((left, right) => left - right)).toEqual(Array.from({ length: 2_000 }, (_, index) => index));
    expect(mergeSnapshots(snapshots, 5, 7)).toEqual(expectedTopK(8_000, 5, 7));
    // Two sessions of one worker, whose snapshots must not replace each other.
    expect(sessions()).toBe(2);
  });

  it("and falls silent is turned away; a unit that it hung on is done by another", async () => {
    const { pool, warnings } = await open({ secondsPerUnit: 0.02 }, { count: 1, heartbeatTimeoutMs: 800 });
    const all = Array.from({ length: 40 }, (_, index) => `u-${index}`);
    const guest = await come("far.0", { stop: all });
    await until(() => notes().some((text) => text.includes("joined")));
    const { job, vectors, times } = collectVectors(fakeUnits(40));
    expect(await pool.encode(job)).toMatchObject({ failed: [], rowCount: 160 });
    expect(vectors.size).toBe(40);
    expect([...times.values()].every((count) => count === 1)).toBe(true);
    expect(warnings().join()).toMatch(/far\.0 was silent for .* s and was turned away/);
    // It stops again at each such unit that it still has in hand.
    const waking = setInterval(() => guest.kill("SIGCONT"), 50);
    expect((await guest.ended).exitCode).toBe(7);
    clearInterval(waking);
    expect(guest.said()).toContain("Turned away: far.0 was silent");
  });

  it("and is silent for no longer than its snapshot may travel is waited for", async () => {
    const { pool, warnings } = await open({}, { count: 0, heartbeatTimeoutMs: 2_000 });
    const guest = await come("far.0", { stop: ["u-3"] });
    const snapshots = new Map<string, Snapshot>();
    // 8 MB: eight seconds more.
    const working = pool.search({ ...searchOf(snapshots, 8), topK: 200_000 });
    await until(() => / T /.test(readFileSync(`/proc/${guest.pid}/stat`, "latin1")));
    await delay(3_000);
    guest.kill("SIGCONT");
    expect(await working).toMatchObject({ failed: [], rowCount: 32 });
    expect(warnings()).toEqual([]);
  });

  it("and has another model is turned away with the difference; the others go on", async () => {
    const { pool, warnings } = await open({ secondsPerUnit: 0.02 }, { count: 1 });
    // More than is done however slow the other one starts.
    const { job, times } = collectVectors(fakeUnits(5_000));
    const working = pool.encode(job);
    await until(() => times.size > 0);
    const guest = await come("far.0", { fingerprints: { "far.0": "other" } });
    expect((await guest.ended).exitCode).toBe(7);
    expect(guest.said()).toContain('fingerprint "fake-model" and "fake-other"');
    const before = times.size;
    await until(() => times.size > before + 5);
    expect(warnings().join()).toMatch(/far\.0 does not fit in: far\.0 has another model than the others/);
    await Promise.all([expect(working).rejects.toMatchObject({ code: "INTERRUPTED" }), pool.close()]);
  });

  it("and cannot load the model is turned away, told by its machine, also before another one has loaded it", async () => {
    const { pool, events, warnings, runDir } = await open({}, { count: 0 });
    const loaded = join(runDir, "loaded");
    await come("good.0", { loadUntil: loaded });
    await until(() => notes().some((text) => text.includes("good.0 joined")));
    const { job, vectors } = collectVectors(fakeUnits(30));
    const working = pool.encode(job);
    const guest = await come("full.0", NO_ROOM);
    expect((await guest.ended).exitCode).toBe(1);
    await until(() => warnings().length > 0);
    expect(vectors.size).toBe(0);
    writeFileSync(loaded, "");
    expect(events).toContainEqual(
      expect.objectContaining({
        message: expect.stringContaining("full.0 stopped on here (No room for the model.)") as string,
        hint: "On here: Set QUARRY_CACHE.",
      }),
    );
    expect(await working).toMatchObject({ failed: [], rowCount: 120 });
  });

  it("and cannot load the model ends the work where no other is left to come, and is named", async () => {
    const { moment, hasCome: end } = later();
    let isRunning = true;
    const ended = moment.then(() => void (isRunning = false));
    const launched = { ended, mayBringMore: () => isRunning, close: async () => {} };
    const { pool, warnings } = await open({}, { count: 0 }, { launch: async () => launched });
    const reason = { code: "ENVIRONMENT", message: "full.0 on here: No room for the model." };
    const first = pool.describe(fakeModel).catch((error: unknown) => error);
    await come("full.0", NO_ROOM);
    // What was started elsewhere may bring another one.
    await until(() => notes().filter((text) => text.includes("No worker is here")).length === 2);
    expect(warnings()).toHaveLength(1);
    end();
    expect(await first).toMatchObject({ ...reason, hint: "On here: Set QUARRY_CACHE." });
    const second = pool.describe(fakeModel);
    await expect(second).rejects.toThrow("every node has ended");
    await fake?.close();
    // By hand: nobody knows whether another one comes.
    const byHand = await open({}, { count: 0 });
    const third = byHand.pool.describe(fakeModel).catch((error: unknown) => error);
    await come("full.0", NO_ROOM);
    expect(await third).toMatchObject(reason);
  });

  it("and dies after every launcher has ended leaves nobody to wait for", async () => {
    const { moment: ended, hasCome: end } = later();
    const launched = { ended, mayBringMore: () => false, close: async () => {} };
    const { pool } = await open({}, { count: 0 }, { launch: async () => launched });
    const { job, vectors } = collectVectors(fakeUnits(5_000));
    const working = pool.encode(job).catch((error: unknown) => error);
    // A launcher that is killed here need not take its worker along.
    const guest = await come("far.0", { secondsPerUnit: 0.05 });
    await until(() => vectors.size > 0);
    end();
    const before = vectors.size;
    await until(() => vectors.size > before + 3);
    guest.kill("SIGKILL");
    expect(await working).toMatchObject({ code: "WORKER", message: "No worker is left: every node has ended." });
  });

  it("over the socket file of this machine is a guest as well, noticed by its connection's end when it is killed", async () => {
    fake = await openFakePool({ secondsPerUnit: 0.02 }, { count: 1, heartbeatTimeoutMs: 600_000 });
    const { pool, runDir, warnings } = fake;
    const { ticket } = JSON.parse(readFileSync(join(runDir, "pool.json"), "utf8")) as { ticket: string };
    await pool.describe(fakeModel);
    const guest = await startGuest(ticket, "near.0", { secondsPerUnit: 600 });
    guests.push(guest);
    await until(() => notes().some((text) => text.includes("near.0 joined")));
    const { job, times } = collectVectors(fakeUnits(80));
    const working = pool.encode(job);
    await until(() => fake?.events.some((each) => each.type === "worker" && isBusy(each, "near.0")) === true);
    guest.kill("SIGKILL");
    await until(() => warnings().length > 0);
    expect(warnings()[0]).toMatch(/^near\.0 lost its connection with .* in hand/);
    expect(await working).toMatchObject({ failed: [], rowCount: 320 });
    expect([...times.values()].every((count) => count === 1)).toBe(true);
  });

  it("can be drained by name", async () => {
    const { pool, runDir } = await open({ secondsPerUnit: 0.02 }, { count: 1 });
    const guest = await come("far.0", { secondsPerUnit: 0.02 });
    await until(() => notes().some((text) => text.includes("joined")));
    const { job, times } = collectVectors(fakeUnits(60));
    const working = pool.encode(job);
    await until(() => times.size > 3);
    await drainWorker(runDir, "far.0");
    expect((await guest.ended).exitCode).toBe(0);
    expect(await working).toMatchObject({ failed: [], rowCount: 240 });
    expect([...times.values()].every((count) => count === 1)).toBe(true);
  });
});

function searchOf(snapshots: Map<string, Snapshot>, unitCount: number) {
  return {
    phase: "test",
    model: fakeModel,
    units: fakeUnits(unitCount),
    topK: 7,
    similarity: "dot",
    isNormalizing: false,
    queries: new Float32Array(10),
    queryCount: 5,
    dimension: 2,
    snapshotEveryUnits: 6,
    onSnapshot: async (snapshot: Snapshot) => {
      snapshots.set(snapshot.session, snapshot);
    },
  };
}

/** Local addresses of listening TCP sockets of this process, as /proc/net/tcp writes them. */
function listening(): string[] {
  const own = new Set(
    readdirSync("/proc/self/fd").flatMap((fd) => {
      try {
        return [/socket:\[(\d+)\]/.exec(readlinkSync(`/proc/self/fd/${fd}`))?.[1] ?? ""];
      } catch {
        return [];
      }
    }),
  );
  const lines = ["tcp", "tcp6"].flatMap((file) => readFileSync(`/proc/net/${file}`, "utf8").split("\n").slice(1));
  const fields = lines.map((line) => line.trim().split(/\s+/));
  return fields
    .filter((each) => each[3] === "0A" && own.has(each[9] ?? ""))
    .map((each) => each[1] ?? "")
    .sort();
}

function isBusy({ worker, state }: { readonly worker: string; readonly state: string }, name: string): boolean {
  return worker === name && state === "busy";
}
