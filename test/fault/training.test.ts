/** Deaths in training: whatever is killed, every later step has the rows and the loss of an undisturbed run. */
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { execa, execaSync } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { canFork } from "../../src/pool/launch/fork-server.js";
import { processStat } from "../../src/process-stat.js";
import { findLatestCheckpoint, runTraining } from "../../src/training/index.js";
import { until } from "../fixtures/fake-pool.js";
import {
  AGENT,
  agents,
  descendants,
  forkServers,
  held,
  isAlive,
  isCommand,
  later,
  losses,
  onStep,
  RANK,
  type RecordedJob,
  ranks,
  TrainingBench,
} from "../integration/training-harness.js";

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

let bench: TrainingBench;

beforeAll(async () => {
  bench = await TrainingBench.open();
});
afterAll(() => bench.close());

/** Rows that each rank was last served for each step: what the weights have seen. */
function rowsOf({ served }: RecordedJob): Map<string, readonly number[]> {
  return new Map(served.map(({ step, rank, rows }) => [`step ${step} rank ${rank}`, rows]));
}

function timesDone({ events }: RecordedJob, step: number): number {
  return events.filter((event) => event.type === "trainStep" && event.step === step).length;
}

describe("a training run of two ranks with dropout on", () => {
  const options = { ranks: 2, maxSteps: 12, args: { learning_rate: 5e-3, save_steps: 2, save_total_limit: 2 } };
  let undisturbed: RecordedJob;
  let stopped: RecordedJob;
  let stoppedAt: number;

  test("keeps no more checkpoints than asked for, and the last one always", async () => {
    undisturbed = bench.job("undisturbed", options);
    await runTraining(undisturbed.job);
    expect([...losses(undisturbed).keys()]).toHaveLength(12);
    expect((await readdir(undisturbed.job.outputDir)).sort()).toEqual(["checkpoint-10", "checkpoint-12"]);
  });

  test("is killed and started again when it stands still, and loses nothing", async () => {
    const halting = bench.job("halting", { ...options, stepTimeoutMs: 10_000 });
    let isHalted = false;
    const halt = later();
    onStep(halting, (step) => {
      if (step !== 3 || isHalted) return;
      isHalted = true;
      process.kill(ranks()[1] as number, "SIGSTOP");
      halt.hasCome();
    });
    expect(await runTraining(held(halting, { 4: halt.moment }))).toMatchObject({ step: 12, isStopped: false });
    expect([...agents(), ...ranks()]).toEqual([]);
    const warnings = halting.events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
    expect(warnings).toEqual([expect.stringMatching(/^Training stood still for 10 s after step 3.* starts again/)]);
    const found = losses(halting);
    for (const [step, loss] of losses(undisturbed)) {
      expect(Math.abs((found.get(step) ?? Number.NaN) - loss), `step ${step}`).toBeLessThan(1e-6);
    }
  });

  test("survives SIGKILL of a rank, and stops on request with a checkpoint", async () => {
    const stop = new AbortController();
    stopped = bench.job("disturbed", { ...options, signal: stop.signal });
    const [kill, never] = [later(), later()];
    let victim: number | undefined;
    onStep(stopped, (step) => {
      if (step === 3 && victim === undefined) {
        victim = ranks()[1];
        process.kill(victim as number, "SIGKILL");
        kill.hasCome();
      }
      if (step === 5) stop.abort();
    });
    const outcome = await runTraining(held(stopped, { 4: kill.moment, 8: never.moment }));
    expect([...agents(), ...ranks()]).toEqual([]);
    const rows = stopped.events.flatMap((event) =>
      event.type === "worker" ? [`${event.worker} ${event.detail}`] : [],
    );
    expect(rows).toContainEqual(expect.stringMatching(`rank-\\d .*process ${victim}.* was killed by SIGKILL`));
    // Again from checkpoint-2.
    expect(timesDone(stopped, 2)).toBe(1);
    expect(timesDone(stopped, 3)).toBe(2);
    stoppedAt = outcome.step;
    expect(outcome).toMatchObject({ isStopped: true, stepsDone: stoppedAt });
    expect(stoppedAt).toBeGreaterThanOrEqual(5);
    expect(stoppedAt).toBeLessThan(8);
    expect(await findLatestCheckpoint(stopped.job.outputDir)).toMatchObject({ step: stoppedAt });
  });

  test("goes on with the very next batch, survives a kill in a checkpoint write and a SIGKILL of torchrun", async () => {
    const marker = join(bench.folder, "died");
    const resumed = bench.job("disturbed", {
      ...options,
      losses: [{ name: "dying_in_checkpoint", weight: 1, sources: [], matryoshka: null, options: { marker, step: 8 } }],
      plugins: [here("training_sabotage.py")],
    });
    let orphans: number[] = [];
    let survivors: number[] | undefined;
    const kill = later();
    onStep(resumed, (step) => {
      if (step !== 11) return;
      if (orphans.length > 0) {
        survivors ??= orphans.filter((pid) => isCommand(pid, RANK));
        return;
      }
      orphans = ranks();
      process.kill(agents()[0] as number, "SIGKILL");
      kill.hasCome();
    });
    const outcome = await runTraining(held(resumed, { 12: kill.moment }));
    expect(outcome).toMatchObject({ step: 12, stepsDone: 12 - stoppedAt, isStopped: false });
    expect([...agents(), ...ranks()]).toEqual([]);
    expect(Math.min(...resumed.served.map(({ step }) => step))).toBe(stoppedAt);
    // The half-written checkpoint-8 did not count.
    expect(existsSync(marker)).toBe(true);
    expect(resumed.served.filter(({ step, rank }) => step === 7 && rank === 0)).toHaveLength(2);
    // torchrun's ranks were gone before the next ones had come so far, and the job went on from checkpoint-10.
    expect(orphans).toHaveLength(2);
    expect(survivors).toEqual([]);
    expect(timesDone(resumed, 10)).toBe(1);
    expect(timesDone(resumed, 11)).toBe(2);

    const whole: RecordedJob = { ...resumed, events: [...stopped.events, ...resumed.events] };
    const [found, wanted] = [losses(whole), losses(undisturbed)];
    for (const [step, loss] of wanted) {
      expect(Math.abs((found.get(step) ?? Number.NaN) - loss), `step ${step}`).toBeLessThan(1e-6);
    }
    const rows = new Map([...rowsOf(stopped), ...rowsOf(resumed)]);
    expect([...rows].sort()).toEqual([...rowsOf(undisturbed)].sort());
    expect((await readdir(resumed.job.outputDir)).sort()).toEqual(["checkpoint-10", "checkpoint-12"]);
  });
});

test("a rank that hangs cannot keep a stop on request from ending", async () => {
  const stop = new AbortController();
  const hanging = bench.job("hanging", { maxSteps: 1_000_000, args: { save_steps: 2 }, signal: stop.signal });
  onStep(hanging, (step) => {
    if (step !== 3) return;
    process.kill(ranks()[0] as number, "SIGSTOP");
    stop.abort();
  });
  const { step, isStopped } = await runTraining(hanging.job);
  expect(isStopped).toBe(true);
  // It may have been steps ahead of what was told.
  expect(step).toBeGreaterThanOrEqual(2);
  expect(await findLatestCheckpoint(hanging.job.outputDir)).toMatchObject({ step });
  expect([...agents(), ...ranks()]).toEqual([]);
});

test("a stop on request waits for no step whose batch is not there, and saves those that are done", async () => {
  const args = { learning_rate: 5e-3, save_steps: 2, lr_scheduler_type: "linear" };
  const options = { args, ranks: 2, queriesPerRank: 2 };
  const undisturbed = bench.job("waits-for-nothing", options);
  await runTraining(undisturbed.job);
  const never = new Promise<never>(() => {});
  /** Trains until the ranks wait for the batch of a step, and stops before or after they have begun to. */
  const stopBefore = async (last: number, isAfter: boolean): Promise<RecordedJob> => {
    const stop = new AbortController();
    const waiting = bench.job("waiting", { ...options, signal: stop.signal });
    const { microBatch } = waiting.job;
    onStep(waiting, (step) => {
      if (step !== last) return;
      if (isAfter) setTimeout(() => stop.abort(), 500);
      else stop.abort();
    });
    const job = {
      ...waiting.job,
      microBatch: (...of: Parameters<typeof microBatch>) => (of[0] < last ? microBatch(...of) : never),
    };
    expect(await runTraining(job)).toMatchObject({ step: last, isStopped: true });
    expect([...agents(), ...ranks()]).toEqual([]);
    return waiting;
  };
  const parts = [await stopBefore(3, false), await stopBefore(5, true)];
  const resumed = bench.job("waiting", options);
  expect(await runTraining(resumed.job)).toMatchObject({ step: 6, stepsDone: 1, isStopped: false });
  const found = losses({ ...resumed, events: [...parts, resumed].flatMap(({ events }) => events) });
  for (const [step, loss] of losses(undisturbed)) {
    expect(Math.abs((found.get(step) ?? Number.NaN) - loss), `step ${step}`).toBeLessThan(1e-6);
  }
});

test("a SIGKILL of the orchestrator leaves neither torchrun nor ranks", async () => {
  const script = [process.execPath, ["scripts/on-build.mjs", here("training-orchestrator.ts")]] as const;
  const child = execa(...script, { reject: false, env: { QUARRY_TEST_FOLDER: bench.folder, TMPDIR: bench.folder } });
  // Nobody removes the ticket's folder after a SIGKILL: TMPDIR puts it where the bench is removed.
  // The script prints the processes below it once training is under way.
  const printed = await new Promise<string>((resolve) =>
    child.stdout.once("data", (data: Buffer) => resolve(String(data))),
  );
  const pids = JSON.parse(printed) as number[];
  expect(pids.some((pid) => isCommand(pid, AGENT)) && pids.some((pid) => isCommand(pid, RANK))).toBe(true);
  child.kill("SIGKILL");
  await child;
  // Less than the silence after which they would leave without any guard.
  await until(() => !pids.some(isAlive), 25_000);
});

test("a SIGKILL of what torchrun's agent is forked from ends its ranks, and training goes on", async () => {
  const args = { learning_rate: 5e-3, save_steps: 2, save_total_limit: 2, lr_scheduler_type: "linear" };
  const job = bench.job("without-forks", { ranks: 2, args });
  let orphans: number[] = [];
  const kill = later();
  onStep(job, (step) => {
    if (step !== 3 || orphans.length > 0) return;
    orphans = ranks();
    for (const pid of forkServers()) process.kill(pid, "SIGKILL");
    kill.hasCome();
  });
  expect(await runTraining(held(job, { 4: kill.moment }))).toMatchObject({ step: 6, isStopped: false });
  expect(orphans.filter((pid) => isCommand(pid, RANK))).toEqual([]);
  expect(orphans).toHaveLength(2);
  expect([...agents(), ...ranks()]).toEqual([]);
});

test("ranks that cannot start end with one clear error and a look into their log", async () => {
  const python = { ...bench.python, env: { ...bench.python.env, PYTHONPATH: "/nowhere" } };
  const job = bench.job("no-runtime", { python });
  const error = await runTraining(job.job).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "WORKER", message: expect.stringContaining("No module named quarry_runtime") });
  expect(await readFile(join(job.job.logDir, "fork-server.log"), "utf8")).toContain("quarry_runtime");
});

/** A Python that does something else in place of the process that torchrun's agent is forked from. */
async function pythonWithout(name: string, script: string) {
  const executable = join(bench.folder, name);
  const { executable: real } = bench.python;
  const lines = [`case "$*" in *fork-server*) ${script};; esac`, `exec ${real} "$@"`];
  await writeFile(executable, ["#!/bin/sh", ...lines, ""].join("\n"), { mode: 0o700 });
  return { ...bench.python, executable };
}

test.skipIf(!canFork)("a launch is given up when what torchrun is to be forked from hangs", async () => {
  const python = await pythonWithout("hangs", "exec sleep 600");
  const job = bench.job("hangs-early", { python, startTimeoutMs: 1_500, maxRestarts: 1 });
  const message = "The ranks did not start within 1.5 s. It was started again once before.";
  await expect(runTraining(job.job)).rejects.toMatchObject({
    ...{ code: "WORKER", message: expect.stringContaining(message) },
  });
  // It has been killed; the kernel may still be at it.
  await until(() => descendants("sleep 600").length === 0);
});

test.skipIf(!canFork)(
  "a SIGKILL of what torchrun is to be forked from takes a restart, before the first hello",
  async () => {
    const python = await pythonWithout("dies", "read request; kill -KILL $$");
    const job = bench.job("killed-early", { python, maxRestarts: 1 });
    const why = "torchrun was killed with the process that it was forked from (killed by SIGKILL).";
    await expect(runTraining(job.job)).rejects.toMatchObject({
      ...{ code: "WORKER", message: `Training could not go on. ${why} It was started again once before.` },
    });
  },
);

const noNamespace = execaSync("unshare", ["--pid", "--fork", "true"], { reject: false }).failed;
if (noNamespace)
  process.stderr.write("Skipped, a process that takes its time to die: no namespaces can be made here.\n");

test.skipIf(noNamespace)("a launch has not ended before the last process of its agent's group has", async () => {
  // Stands in for torchrun's agent: leaves a process behind that is the first one of a namespace, and fails.
  const [executable, agent, go] = ["forks", "agent", "go"].map((name) => join(bench.folder, name)) as [
    string,
    string,
    string,
  ];
  const left = "unshare --pid --fork sleep 600.5 </dev/null >/dev/null 2>&1 &";
  const script = ["#!/bin/sh", left, `while [ ! -e ${go} ]; do sleep 0.02; done`, "exit 3"];
  await writeFile(agent, `${script.join("\n")}\n`, { mode: 0o755 });
  // Stands in for what agents are forked from.
  const forks = [
    `#!${bench.python.executable}`,
    "import json, socket, subprocess, sys",
    "request = json.loads(sys.stdin.readline())",
    `agent = subprocess.Popen([${JSON.stringify(agent)}], start_new_session=True)`,
    'print(json.dumps({"forked": request["fork"], "pid": agent.pid}), flush=True)',
    "with socket.socket(socket.AF_UNIX) as output:",
    '    output.connect(request["output"])',
    '    print(json.dumps({"ended": agent.pid, "status": agent.wait()}), flush=True)',
    "sys.stdin.read()",
  ];
  await writeFile(executable, `${forks.join("\n")}\n`, { mode: 0o755 });
  const { job } = bench.job("left-behind", { maxRestarts: 0, python: { ...bench.python, executable } });
  let first = 0;
  let isLeft: boolean | null = null;
  const ended = runTraining(job).catch((thrown: unknown) => {
    isLeft = isRunning(first);
    return thrown;
  });
  const started = (seconds: string): number[] => descendants(`sleep ${seconds}`);
  await until(() => started("600.5").length === 2);
  first = started("600.5").find((pid) => !isCommand(pid, "unshare")) ?? 0;
  // However hard it is killed, it stays until whatever joined its namespace was collected, which a stopped parent does not.
  const guest = execa("nsenter", ["--target", String(first), "--pid", "sleep", "601.5"], { reject: false });
  try {
    await until(() => started("601.5").length === 2);
    guest.kill("SIGSTOP");
    await writeFile(go, "");
    await until(() => !isAlive(first));
    await Promise.race([ended, sleep(500)]);
  } finally {
    guest.kill("SIGCONT");
  }
  expect(await ended).toMatchObject({ code: "WORKER", message: expect.stringContaining("ended with status 3") });
  expect(isLeft).toBe(false);
  await guest;
});

/** Whether there is anything of a process, be it only what waits for others. */
function isRunning(pid: number): boolean {
  return processStat(pid)?.isRunning ?? false;
}
