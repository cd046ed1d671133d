/** What forks of one server have in common, and what they have not. The verb is none, so nothing is imported. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { canFork, launchFork } from "../../src/pool/launch/fork-server.js";
import { findPython, type PythonEnvironment } from "../../src/python/environment.js";
import { until } from "../fixtures/fake-pool.js";
import { forkServers } from "./training-harness.js";

let python: PythonEnvironment;
const logDir = mkdtempSync(join(tmpdir(), "quarry-test-forks-"));
beforeAll(async () => {
  python = await findPython();
});
afterAll(() => rmSync(logDir, { recursive: true, force: true }));

const fork = (name: string, extra: Record<string, string> = {}) =>
  launchFork({ name, argv: ["none"], python: { ...python, env: { ...python.env, ...extra } }, env: {}, logDir });

test.skipIf(!canFork)("forks that see other GPUs share a server that sees none named", async () => {
  const ended = await fork("first", { CUDA_VISIBLE_DEVICES: "3" }).ended;
  expect(ended).toMatchObject({ exitCode: 2, how: "ended with status 2" });
  expect(ended.lastLines.join()).toContain("usage: python -m quarry_runtime");
  const [server, ...others] = forkServers();
  await fork("second").ended;
  expect(forkServers()).toEqual([server]);
  expect(others).toEqual([]);
  expect(readFileSync(`/proc/${server}/environ`, "latin1")).not.toContain("CUDA_VISIBLE_DEVICES");
});

test.skipIf(!canFork)("a fork that is ended before it is made does not begin", async () => {
  const early = fork("early");
  early.signal("SIGTERM");
  expect(await early.ended).toMatchObject({ signal: "SIGTERM", how: "killed by SIGTERM", lastLines: [] });
});

test.skipIf(!canFork)(
  "a fork that the system refuses has ended, with the reason, and the next one is asked for again",
  async () => {
    // In the server's place: what it answers is tested in test/py/worker/test_fork_server.py.
    const scarce = join(logDir, "scarce");
    const refusals = [0, 1].map((id) => `read request; echo '{"refused": ${id}, "why": "no process left"}'`);
    writeFileSync(scarce, ["#!/bin/sh", ...refusals, "read end", ""].join("\n"), { mode: 0o700 });
    const refused = (name: string) =>
      launchFork({ name, argv: ["none"], python: { ...python, executable: scarce }, env: {}, logDir });
    for (const name of ["refused", "refused-again"]) {
      const fork = refused(name);
      await fork.started;
      expect(fork.pid).toBeUndefined();
      expect(await fork.ended).toMatchObject({ exitCode: null, how: "could not be started (no process left)" });
    }
  },
);

test.skipIf(!canFork)("a server without forks is kept for a minute, and no longer", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    // Others of this file have a clock that is real.
    const own = { QUARRY_TEST_SERVER: "own" };
    const before = forkServers();
    await fork("kept", own).ended;
    const [server] = forkServers().filter((pid) => !before.includes(pid));
    vi.advanceTimersByTime(50_000);
    const still = fork("again", own);
    // The minute counts from the last fork, and not while there is one.
    vi.advanceTimersByTime(50_000);
    await still.ended;
    vi.advanceTimersByTime(50_000);
    expect(forkServers()).toContain(server);
    vi.advanceTimersByTime(10_001);
    vi.useRealTimers();
    await until(() => !forkServers().includes(server as number));
    await fork("after", own).ended;
    expect(forkServers()).not.toContain(server);
    expect(forkServers()).toHaveLength(before.length + 1);
  } finally {
    vi.useRealTimers();
  }
});
