/** Training on two machines, the second a network namespace that sees no file of the run: the curve of one machine, whatever dies. */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { workersSchema } from "../../src/experiment/schema.js";
import type { PythonEnvironment } from "../../src/python/environment.js";
import { runTraining, type TrainNodes } from "../../src/training/index.js";
import { makeNetNodes, type NetNodes, whyNoNamespaces } from "../fixtures/net-nodes.js";
import {
  AGENT,
  agents,
  descendants,
  held,
  later,
  losses,
  onStep,
  type RecordedJob,
  ranks,
  TrainingBench,
} from "../integration/training-harness.js";

const reason = whyNoNamespaces();
if (reason !== null) process.stderr.write(`Skipped, training on a network namespace: ${reason}.\n`);

const options = {
  isDropoutOn: false,
  maxSteps: 8,
  args: { learning_rate: 5e-3, save_steps: 2 },
  device: "cpu",
} as const;
let bench: TrainingBench;
let folder: string;
let nodes: NetNodes | undefined;
let alone: RecordedJob;
/** One environment for all, so that all are forked from one process. */
let python: PythonEnvironment;

beforeAll(async () => {
  bench = await TrainingBench.open();
  folder = mkdtempSync(join(tmpdir(), "quarry-test-train-nodes-"));
  // Neither the model nor the checkpoints of the run are there on the other machine.
  nodes = reason === null ? makeNetNodes(1, folder, bench.folder) : undefined;
  const bin = join(folder, "ssh");
  mkdirSync(bin);
  const toNode = nodes === undefined ? "exit 1" : `exec ${join(nodes.bin, "ssh")} "$@"`;
  const ssh = `#!/bin/sh\ncase "$*" in *nowhere*) echo no route to host >&2; exit 255;; esac\n${toNode}\n`;
  writeFileSync(join(bin, "ssh"), ssh, { mode: 0o755 });
  python = { ...bench.python, env: { ...bench.python.env, PATH: `${bin}:${bench.python.env["PATH"]}` } };
  alone = bench.job("alone", { ...options, python });
  await runTraining(alone.job);
});
afterAll(async () => {
  nodes?.remove();
  rmSync(folder, { recursive: true, force: true });
  await bench.close();
});

/** @param others entries of the experiment's `nodes` */
function machines(others: readonly object[], more: Partial<TrainNodes> = {}): TrainNodes {
  const { nodes: parsed } = workersSchema.parse({ nodes: others });
  return { others: parsed, count: 2, least: 2, listen: "tcp://127.0.0.1:0", runDir: bench.folder, ...more };
}

function jobOnBoth(name: string, least: number): RecordedJob {
  const hosts = nodes?.names.map((host) => ({ kind: "ssh", host })) ?? [];
  const given = machines(hosts, { least, listen: `tcp://${nodes?.address}:0` });
  return bench.job(name, { ...options, python, ranks: 2, nodes: given });
}

/** Whether a process is on the other machine. */
const isAway = (pid: number): boolean => readlinkSync(`/proc/${pid}/ns/net`) !== readlinkSync("/proc/self/ns/net");

function isClean(): void {
  expect([...agents(), ...ranks()], "processes left").toEqual([]);
}

function isSameCurve(job: RecordedJob): void {
  const found = losses(job);
  expect([...found.keys()].sort()).toEqual([...losses(alone).keys()].sort());
  for (const [step, loss] of losses(alone)) {
    expect(Math.abs((found.get(step) ?? Number.NaN) - loss), `step ${step}`).toBeLessThan(1e-5);
  }
}

it("ends with a look into its log when a machine cannot be reached", async () => {
  const given = machines([{ kind: "ssh", host: "nowhere" }]);
  const job = bench.job("unreachable", { ...options, python, ranks: 2, nodes: given, maxRestarts: 0 });
  const error = await runTraining(job.job).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    code: "WORKER",
    message: expect.stringContaining("machines of the training have ended"),
  });
  const warnings = job.events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
  expect(warnings.join()).toContain("no route to host");
  isClean();
});

it("ends its own part too when another machine cannot even be asked", async () => {
  const given = machines([{ kind: "manual" }], { runDir: join(bench.folder, "removed") });
  const { job } = bench.job("not-asked", { ...options, python, ranks: 2, nodes: given });
  // Where the ticket should be.
  await expect(runTraining(job)).rejects.toThrow("ENOENT");
  isClean();
});

it("trains with a machine on which somebody pastes the command that is told", async () => {
  const both = bench.job("pasted", { ...options, python, ranks: 2, nodes: machines([{ kind: "manual" }]) });
  let pasted: Promise<{ readonly exitCode?: number }> | undefined;
  both.job.events.subscribe((event) => {
    if (event.type !== "notice" || pasted !== undefined) return;
    const ticket = /its ticket is in (\S+)\.$/.exec(event.message)?.[1] ?? "";
    expect(statSync(ticket).mode & 0o777).toBe(0o600);
    const command = `${python.executable} ${(event.hint ?? "").replace(/^python /, "").replace("the ticket", ticket)}`;
    pasted = execa("sh", ["-c", command], { env: python.env, reject: false });
  });
  expect(await runTraining(both.job)).toMatchObject({ step: 8, isStopped: false });
  expect(await pasted).toMatchObject({ exitCode: 0 });
  isClean();
  isSameCurve(both);
  expect(readdirSync(bench.folder).filter((name) => name.endsWith(".ticket"))).toEqual([]);
});

describe.skipIf(reason !== null)("training on two machines without a shared disk", () => {
  it("has the losses of one machine, also when the other one's rank is killed; no secret is in sight", async () => {
    const both = jobOnBoth("both", 2);
    let victim: number | undefined;
    let seen = "";
    let isKilled = false;
    const kill = later();
    onStep(both, (step) => {
      if (step === 2 && victim === undefined) {
        const all = [...agents(), ...ranks()];
        seen = all
          .flatMap((pid) => ["cmdline", "environ"].map((f) => readFileSync(`/proc/${pid}/${f}`, "latin1")))
          .join();
        victim = ranks().find(isAway);
      }
      if (step === 3 && !isKilled) {
        isKilled = true;
        process.kill(victim as number, "SIGKILL");
        kill.hasCome();
      }
    });
    // Step 4 would have its checkpoint.
    expect(await runTraining(held(both, { 4: kill.moment }))).toMatchObject({ step: 8, isStopped: false });
    isClean();
    isSameCurve(both);
    expect(victim).toBeGreaterThan(0);
    // Step 3 again, from checkpoint-2, whose optimiser the other machine got from rank 0.
    expect(both.events.filter((event) => event.type === "trainStep" && event.step === 3)).toHaveLength(2);
    expect(seen).not.toContain("quarry1.");
    const models = join(nodes?.cacheOf(nodes.names[0] ?? "") ?? "", "models");
    expect(readdirSync(models).flatMap((model) => readdirSync(join(models, model)))).toContain("model.safetensors");
    // Each rank asked for its own micro-batches only.
    for (const rank of [0, 1]) {
      const steps = both.served.filter((each) => each.rank === rank).map(({ step }) => step);
      expect([...new Set(steps)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    }
  });

  it("goes on with one machine when the other is lost for good, where that is allowed", async () => {
    const both = jobOnBoth("shrinking", 1);
    let isCut = false;
    const cut = later();
    onStep(both, (step) => {
      if (step !== 3 || isCut) return;
      isCut = true;
      for (const pid of descendants(AGENT).filter(isAway)) process.kill(pid, "SIGKILL");
      cut.hasCome();
    });
    expect(await runTraining(held(both, { 4: cut.moment }))).toMatchObject({ step: 8, isStopped: false });
    isClean();
    isSameCurve(both);
    const last = both.served.filter((each) => each.step === 7 && each.rank === 0);
    expect(last.at(-1)?.rows).toHaveLength(8);
    // torchrun takes 15 s to give a machine up, and waits half a minute more for others to come.
  }, 600_000);
});
