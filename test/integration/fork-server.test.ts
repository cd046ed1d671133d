/** What forks of one server have in common, and what they have not. The verb is none, so nothing is imported. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { workersSchema } from "../../src/experiment/schema.js";
import { canFork, launchFork } from "../../src/pool/launch/fork-server.js";
import { openPool } from "../../src/pool/pool.js";
import { findPython, type PythonEnvironment } from "../../src/python/environment.js";
import { EventStream } from "../../src/report/events.js";
import { fakeModel, until } from "../fixtures/fake-pool.js";
import { childrenNamed, forkServers } from "./training-harness.js";

let python: PythonEnvironment;
const logDir = mkdtempSync(join(tmpdir(), "quarry-test-forks-"));
beforeAll(async () => {
  python = await findPython();
});
afterAll(() => rmSync(logDir, { recursive: true, force: true }));

const fork = (name: string, extra: Record<string, string> = {}) =>
  launchFork({ name, argv: ["none"], python: { ...python, env: { ...python.env, ...extra } }, env: {}, logDir });

/** Servers that were not there before, whoever else keeps some. */
const serversSince = (before: readonly number[]): number[] => forkServers().filter((pid) => !before.includes(pid));

/** A script in the server's place. */
function server(name: string, lines: readonly string[]): string {
  const path = join(logDir, name);
  writeFileSync(path, ["#!/bin/sh", ...lines, ""].join("\n"), { mode: 0o700 });
  return path;
}

test.skipIf(!canFork)("forks that see other GPUs share a server that sees none named", async () => {
  const before = forkServers();
  const own = { QUARRY_TEST_SERVER: "seen" };
  const ended = await fork("first", { ...own, CUDA_VISIBLE_DEVICES: "3" }).ended;
  expect(ended).toMatchObject({ exitCode: 2, how: "ended with status 2" });
  expect(ended.lastLines.join()).toContain("usage: python -m quarry_runtime");
  const [server, ...others] = serversSince(before);
  await fork("second", own).ended;
  expect(serversSince(before)).toEqual([server]);
  expect(others).toEqual([]);
  expect(readFileSync(`/proc/${server}/environ`, "latin1")).not.toContain("CUDA_VISIBLE_DEVICES=3");
});

test.skipIf(!canFork)("a fork that is ended before it is made does not begin", async () => {
  const [early, other] = [fork("early"), fork("other")];
  early.signal("SIGTERM");
  expect(await early.ended).toMatchObject({ signal: "SIGTERM", how: "killed by SIGTERM", lastLines: [] });
  expect((await other.ended).how).toBe("ended with status 2");
  expect(readFileSync(join(logDir, "early.log"), "utf8")).toBe("");
});

test.skipIf(!canFork)("nobody waits for a server that hangs, and it is not kept", async () => {
  // In the server's place: one that hangs in its imports, and one that hangs after a fork.
  const hangsEarly = server("hangs-early", ["exec sleep 600"]);
  const hangsLate = server("hangs-late", [`sleep 600 & echo "{\\"forked\\": 0, \\"pid\\": $!}"`, "exec sleep 600"]);
  for (const executable of [hangsEarly, hangsLate]) {
    const fork = launchFork({ name: "waits", argv: ["none"], python: { ...python, executable }, env: {}, logDir });
    if (executable === hangsLate) await fork.started;
    fork.signal("SIGKILL");
    // Its server says nothing for ten minutes, longer than a test may take.
    expect(await fork.ended).toMatchObject({ signal: "SIGKILL", how: "killed by SIGKILL" });
  }
  await until(() => childrenNamed("sleep").length === 0);
});

test.skipIf(!canFork)("a pool whose workers are still loading is closed before they are loaded", async () => {
  const loading = { ...python, executable: server("loads", ["exec sleep 600"]) };
  const workers = workersSchema.parse({ count: 2, device: "cpu", threads: 1 });
  const abort = new AbortController();
  const pool = await openPool({ workers, python: loading, logDir, events: new EventStream(), signal: abort.signal });
  const described = pool.describe(fakeModel);
  await until(() => childrenNamed("sleep").length === 1);
  abort.abort();
  await expect(described).rejects.toMatchObject({ code: "INTERRUPTED" });
  await pool.close();
});

test.skipIf(!canFork)(
  "a fork that the system refuses has ended, with the reason, and the next one is asked for again",
  async () => {
    // In the server's place: what it answers is tested in test/py/worker/test_fork_server.py.
    const refusals = [0, 1].map((id) => `read request; echo '{"refused": ${id}, "why": "no process left"}'`);
    const scarce = server("scarce", [...refusals, "read end"]);
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

test.skipIf(!canFork)("what a library prints among the answers of a server is none of them", async () => {
  const told = `read request; echo '{"refused": 0, "why": "as it was told"}'`;
  const executable = server("chatty", ["echo 'a library is loaded'", "echo '{}'", told, "read end"]);
  const fork = launchFork({ name: "chatty", argv: ["none"], python: { ...python, executable }, env: {}, logDir });
  expect((await fork.ended).how).toBe("could not be started (as it was told)");
});

test.skipIf(!canFork)("a server without forks is kept for a minute, and no longer", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    // Others of this file have a clock that is real.
    const own = { QUARRY_TEST_SERVER: "own" };
    const before = forkServers();
    await fork("kept", own).ended;
    const [server] = serversSince(before);
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
    expect(serversSince(before)).toHaveLength(1);
  } finally {
    vi.useRealTimers();
  }
});

test.skipIf(!canFork)(
  "a server is kept for its fork, though one that was given up ended after all others",
  async () => {
    // In the server's place: `late` is given up before it is made, and its end is told after that of `first`.
    const make = (id: number): string => `sleep 600 & made=$!; echo "{\\"forked\\": ${id}, \\"pid\\": $made}"; read go`;
    const ended = (pid: string): string => `{\\"ended\\": ${pid}, \\"status\\": -9}`;
    const executable = server("tells-late", [
      ...["read first", make(0), "read late", "wait $made", `echo "${ended("$made")}\n${ended("1")}"`],
      ...["read last", make(2), `read next; echo '{"refused": 3, "why": "by the same server"}'`, "read end"],
    ]);
    const ask = (name: string) =>
      launchFork({ name, argv: ["none"], python: { ...python, executable }, env: {}, logDir });
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      const first = ask("first");
      await first.started;
      ask("late").signal("SIGKILL");
      first.signal("SIGKILL");
      await first.ended;
      const last = ask("last");
      await last.started;
      vi.advanceTimersByTime(60_001);
      const next = ask("next");
      await next.started;
      for (const fork of [last, next]) fork.signal("SIGKILL");
      expect((await next.ended).how).toBe("could not be started (by the same server)");
      await last.ended;
    } finally {
      vi.useRealTimers();
    }
  },
);
