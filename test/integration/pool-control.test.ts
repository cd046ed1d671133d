/** `quarry workers` and `quarry drain` on a pool at work: what they show, what they do, and what they say when it is gone. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join, relative } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { afterEach, describe, expect, it } from "vitest";
import { drainWorker, findRunAtWork, listWorkers } from "../../src/pipeline/workers.js";
import { refuseKilled } from "../../src/pool/control.js";
import { pidSpace } from "../../src/process-stat.js";
import { commandLine } from "../fixtures/command-line.js";
import { collectVectors, type FakePool, fakeModel, fakeUnits, openFakePool, until } from "../fixtures/fake-pool.js";
import { asOther, canBeOther } from "../fixtures/other-user.js";

let fake: FakePool | null = null;
let folder: string | null = null;
afterEach(async () => {
  await fake?.close();
  expect(fake?.pids() ?? []).toEqual([]);
  fake = null;
  if (folder !== null) rmSync(folder, { recursive: true, force: true });
  folder = null;
});
const open = async (...args: Parameters<typeof openFakePool>): Promise<FakePool> => {
  fake = await openFakePool(...args);
  return fake;
};
/** In this process, which the pool's work waits for: none goes by unseen while a command starts. */
const quarry = (...args: string[]) => commandLine(args, { cwd: process.cwd() });
/** Until the workers are in these states. */
async function are(runDir: string, ...wanted: readonly string[]): Promise<void> {
  const states = async (): Promise<string> => (await listWorkers(runDir)).map(({ state }) => state).join();
  while ((await states()) !== wanted.join()) await delay(20);
}

describe("a command to a pool", () => {
  it("lists its workers, with host, device, state and what they did", async () => {
    const { pool, runDir } = await open({ secondsPerUnit: 0.05 });
    const working = pool.encode(collectVectors(fakeUnits(5_000)).job);
    await are(runDir, "busy", "busy");
    const { stdout, exitCode } = await quarry("workers", "--run", runDir);
    expect(exitCode).toBe(0);
    const [head, ...lines] = stdout.split("\n");
    expect(head?.split(/ +/)).toEqual(["worker", "host", "device", "state", "texts"]);
    expect(lines).toHaveLength(2);
    expect(lines[0]).toMatch(/^worker-0 +here +cpu +busy +\d+$/);
    expect(statSync(join(runDir, "pool.json")).mode & 0o777).toBe(0o600);
    // The token stays in the private folder.
    const file = JSON.parse(readFileSync(join(runDir, "pool.json"), "utf8")) as object;
    expect(file).toEqual({ pid: process.pid, host: hostname(), pidSpace: pidSpace(), ticket: expect.any(String) });
    await Promise.all([expect(working).rejects.toMatchObject({ code: "INTERRUPTED" }), pool.close()]);
  });

  it("lists every worker, however many there are", async () => {
    // Places that nobody has needed yet.
    const { runDir } = await open({}, { count: 1_200 });
    const names = (await listWorkers(runDir)).map(({ name }) => name);
    expect(names).toEqual(Array.from({ length: 1_200 }, (_, index) => `worker-${index}`));
    await expect(drainWorker(runDir, "gpu")).rejects.toThrow(/ worker-19 and 1180 more\.$/);
  });

  it("drains a worker of its own: it ends cleanly, its place stays empty, no unit is done twice", async () => {
    const { pool, pids, runDir, warnings, events } = await open({ secondsPerUnit: 0.02 });
    await pool.describe(fakeModel);
    const { job, vectors, times } = collectVectors(fakeUnits(400));
    const working = pool.encode(job);
    await until(() => times.size > 4);
    const drained = await quarry("drain", "worker-1", "--run", runDir);
    expect(drained).toEqual({ stdout: "worker-1 has left.", stderr: "", exitCode: 0 });
    expect((await listWorkers(runDir)).map(({ name }) => name)).toEqual(["worker-0"]);
    await until(() => pids().length === 1);
    expect(await working).toMatchObject({ failed: [], rowCount: 1_600 });
    expect(vectors.size).toBe(400);
    expect([...times.values()].every((count) => count === 1)).toBe(true);
    // The next job does not fill the place again.
    await pool.encode(collectVectors(fakeUnits(4)).job);
    expect(pids()).toHaveLength(1);
    expect(warnings()).toEqual([]);
    expect(events.filter((event) => event.type === "worker" && event.state === "stopped")).toHaveLength(1);
  });

  it("has what it asked for when the run ends before the drained worker could leave", async () => {
    const { pool, runDir } = await open({ secondsPerUnit: 600 });
    const working = pool.encode(collectVectors(fakeUnits(8)).job);
    await are(runDir, "busy", "busy");
    const draining = quarry("drain", "worker-1", "--run", runDir);
    await are(runDir, "busy", "leaving");
    await Promise.all([expect(working).rejects.toMatchObject({ code: "INTERRUPTED" }), pool.close()]);
    expect(await draining).toMatchObject({
      stdout: "worker-1 is gone: the run's workers have ended.",
      stderr: "",
      exitCode: 0,
    });
  });

  it("is refused for a worker that is not there and for the last one", async () => {
    const { pool, runDir } = await open({}, { count: 1 });
    await pool.describe(fakeModel);
    await expect(drainWorker(runDir, "worker-7")).rejects.toMatchObject({
      code: "CONFIG",
      message: "No worker is called worker-7; there are: worker-0.",
    });
    await expect(drainWorker(runDir, "worker-0")).rejects.toThrow("worker-0 is the last worker");
  });

  it("finds the one run that is at work, and says so plainly when there is none", async () => {
    folder = mkdtempSync(join(tmpdir(), "quarry-test-control-"));
    const runDir = join(folder, "runs", "only");
    await expect(findRunAtWork(folder)).rejects.toMatchObject({ code: "ENVIRONMENT" });
    execFileSync("mkdir", ["-p", runDir]);
    await expect(listWorkers(runDir)).rejects.toThrow("No workers are at work on");
    writeFileSync(join(runDir, "pool.json"), "{}");
    await expect(listWorkers(runDir)).rejects.toThrow("No workers are at work on");
    const file = { pid: process.pid, host: hostname(), ticket: "/nowhere/ticket.json" };
    writeFileSync(join(runDir, "pool.json"), JSON.stringify(file));
    expect(await findRunAtWork(folder)).toBe(runDir);
    expect(await findRunAtWork(relative(process.cwd(), folder))).toBe(runDir);
    await expect(listWorkers(runDir)).rejects.toThrow("is over: it was killed");
    writeFileSync(join(runDir, "pool.json"), JSON.stringify({ ...file, host: "elsewhere" }));
    await expect(listWorkers(runDir)).rejects.toThrow("is at work on elsewhere");
    if (pidSpace() !== null) {
      writeFileSync(join(runDir, "pool.json"), JSON.stringify({ ...file, pid: 999_999_999, pidSpace: "pid:[1]" }));
      await expect(listWorkers(runDir)).rejects.toThrow(`is at work on ${hostname()}, in another container`);
      await refuseKilled(runDir);
    }
    const dead = execFileSync("sh", ["-c", "echo $$"]).toString();
    writeFileSync(join(runDir, "pool.json"), JSON.stringify({ ...file, pid: Number(dead) }));
    await expect(listWorkers(runDir)).rejects.toMatchObject({ code: "ENVIRONMENT", exitStatus: 4 });
  });

  it.skipIf(!canBeOther)("says of another user's run whose it is", async () => {
    folder = mkdtempSync("/tmp/quarry-test-control-");
    chmodSync(folder, 0o755);
    const runDir = folder;
    writeFileSync(join(runDir, "pool.json"), "{}", { mode: 0o600 });
    await asOther(() =>
      expect(listWorkers(runDir)).rejects.toMatchObject({
        code: "ENVIRONMENT",
        message: `${runDir}/pool.json belongs to another user, and so does the run.`,
      }),
    );
  });

  it("takes a run for over that was killed and not yet collected by whoever started it", async () => {
    folder = mkdtempSync(join(tmpdir(), "quarry-test-control-"));
    const runDir = join(folder, "runs", "killed");
    execFileSync("mkdir", ["-p", runDir]);
    const parent = execa("sh", ["-c", "sleep 0.1 & echo $!; exec sleep 60"], { reject: false, stdin: "ignore" });
    try {
      const [line] = (await once(parent.stdout, "data")) as [Buffer];
      const pid = Number(line.toString());
      await until(() => readFileSync(`/proc/${pid}/stat`, "latin1").includes(") Z "));
      const file = { pid, host: hostname(), endpoint: "ipc:///nowhere", ticket: "/nowhere/ticket.json" };
      writeFileSync(join(runDir, "pool.json"), JSON.stringify(file));
      await expect(findRunAtWork(folder)).rejects.toMatchObject({ code: "ENVIRONMENT" });
    } finally {
      parent.kill("SIGKILL");
      await parent;
    }
  });

  it("leaves nothing in the run folder once the pool is closed", async () => {
    const { pool, runDir } = await open({});
    expect(existsSync(join(runDir, "pool.json"))).toBe(true);
    expect(existsSync(join(runDir, "join.ticket"))).toBe(false);
    await pool.close();
    expect(existsSync(join(runDir, "pool.json"))).toBe(false);
  });
});
