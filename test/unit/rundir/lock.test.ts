/** The lock of a run folder: one holder at a time, also when many reach for the lock of a dead one. */
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { acquireLock } from "../../../src/rundir/lock.js";
import { isAlive, type Owner, thisProcess } from "../../../src/rundir/owner.js";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-lock-"));
  path = join(folder, "run.lock");
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const holder = fileURLToPath(new URL("../../fixtures/hold-lock.mjs", import.meta.url));

/** A process that is gone: its pid, start time and boot are real. */
async function deadOwner(): Promise<Owner> {
  const child = execa("sleep", ["1000"]);
  const owner = { ...thisProcess(), pid: child.pid ?? 0, startTicks: null };
  child.kill("SIGKILL");
  await child.catch(() => {});
  return owner;
}

test("a second opener is refused with the pid and the file, and gets in after the release", async () => {
  const lock = await acquireLock(path);
  const thrown = await acquireLock(path).catch((e) => e);
  expect(thrown.code).toBe("CONFIG");
  expect(thrown.message).toContain(`process ${process.pid} `);
  expect(thrown.message).toContain(path);
  await lock.release();
  await lock.release();
  await (await acquireLock(path)).release();
  expect(await readdir(folder)).toEqual([]);
});

test("of twenty who reach for a dead process's lock at once exactly one gets it", async () => {
  for (let round = 0; round < 10; round++) {
    await writeFile(path, JSON.stringify(await deadOwner()));
    const tries = await Promise.allSettled(Array.from({ length: 20 }, () => acquireLock(path)));
    const got = tries.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    expect(got).toHaveLength(1);
    await got[0]?.release();
    expect(await readdir(folder)).toEqual([]);
  }
});

test("a takeover that was itself cut short is taken over", async () => {
  const first = await deadOwner();
  const second = { ...first, token: "beef" };
  await writeFile(path, JSON.stringify(first));
  await writeFile(`${path}.${first.token}`, JSON.stringify(second));
  await (await acquireLock(path)).release();
  expect(await readdir(folder)).toEqual([]);
});

test("what was left of others who were killed while they reached for it goes, and what a live one is writing stays", async () => {
  const dead = await deadOwner();
  const live = `.run.lock.${"0".repeat(12)}.quarry-tmp`;
  for (const name of ["run.lock.beef", "run.lock.beef.cafe", ".run.lock.0123456789ab.quarry-tmp"]) {
    await writeFile(join(folder, name), JSON.stringify(dead));
  }
  await writeFile(join(folder, live), "");
  await writeFile(join(folder, "run.lock.feed"), JSON.stringify(thisProcess()));
  await (await acquireLock(path)).release();
  expect((await readdir(folder)).sort()).toEqual([live, "run.lock.feed"]);
});

test("an empty lock file, left by a power cut, does not lock anybody out", async () => {
  await writeFile(path, "");
  await (await acquireLock(path)).release();
});

test("a pid that was given to another process, or comes from an earlier boot, counts as dead", () => {
  const own = thisProcess();
  expect(isAlive(own)).toBe(true);
  expect(isAlive({ ...own, startTicks: "1" })).toBe(own.startTicks === null);
  expect(isAlive({ ...own, bootId: "earlier" })).toBe(false);
  expect(isAlive({ ...own, host: "elsewhere", pid: 999_999_999 })).toBe(true);
});

test("a pid of another container says nothing here, though its host has the same name", async () => {
  const other = { ...(await deadOwner()), pidSpace: "pid:[1]" };
  expect(isAlive(other)).toBe(thisProcess().pidSpace !== null);
  expect(isAlive({ ...other, bootId: "earlier" })).toBe(false);
  if (thisProcess().pidSpace === null) return;
  await writeFile(path, JSON.stringify(other));
  await expect(acquireLock(path)).rejects.toThrow(`on ${other.host}, in another container, since`);
  // As long as it gives signs that it lives.
  const longAgo = new Date(Date.now() - 180_000);
  await utimes(path, longAgo, longAgo);
  await (await acquireLock(path)).release();
});

test("who has the lock shows that it lives, until it gives it back", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  try {
    const lock = await acquireLock(path);
    const sign = async () => (await stat(path)).mtimeMs;
    const longAgo = new Date(Date.now() - 180_000);
    await utimes(path, longAgo, longAgo);
    vi.advanceTimersByTime(20_000);
    await expect.poll(sign).toBeGreaterThan(Date.now() - 60_000);
    await lock.release();
    expect(vi.getTimerCount()).toBe(0);
  } finally {
    vi.useRealTimers();
  }
});

test("another process keeps the folder until it is killed, then the next one takes it over", async () => {
  const run = join(folder, "run");
  const first = execa("node", [holder, run]);
  const hasIt = new Promise<string>((resolve) => first.stdout.once("data", (data) => resolve(String(data))));
  expect((await hasIt).trim()).toBe("got");
  const refused = await execa("node", [holder, run], { stdin: "ignore" });
  expect(refused.stdout).toContain(`CONFIG The run folder is in use by process ${first.pid}`);
  first.kill("SIGKILL");
  await first.catch(() => {});
  const next = execa("node", [holder, run]);
  next.stdin.end();
  expect((await next.catch((e) => e)).stdout.trim()).toBe("got");
  expect(JSON.parse(await readFile(join(run, "run.lock"), "utf8")).pid).toBe(next.pid);
});
