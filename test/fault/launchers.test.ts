/** Launchers for real: a sshd, torchrun, and a Slurm of two nodes, all on this machine; and what is left when somebody ends them. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type WorkersConfig, workersSchema } from "../../src/experiment/schema.js";
import { runTraining, type TrainNodes } from "../../src/training/index.js";
import { processesWith, until } from "../fixtures/fake-pool.js";
import { encodeAll, guestsOf, type NodeBench, openNodeBench, withNodePool } from "../fixtures/node-pool.js";
import { type SlurmCluster, startSlurm, whyNoSlurm } from "../fixtures/slurm-cluster.js";
import { type SshServer, startSsh, whyNoSsh } from "../fixtures/ssh-server.js";
import { isCommand, losses, type RecordedJob, TrainingBench } from "../integration/training-harness.js";

const [noSlurm, noSsh] = [whyNoSlurm(), whyNoSsh()];
for (const reason of [noSlurm, noSsh]) if (reason !== null) process.stderr.write(`Skipped, a launcher: ${reason}.\n`);
const SLURM = noSlurm === null ? (["srun", "sbatch"] as const) : [];
const SSH = noSsh === null ? (["ssh"] as const) : [];
const OTHERS = [...SSH, ...SLURM];

let folder: string;
let bench: NodeBench;
let slurm: SlurmCluster | undefined;
let ssh: SshServer | undefined;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "quarry-test-launchers-"));
  bench = await openNodeBench(folder);
  if (noSlurm === null) slurm = await startSlurm(2, folder);
  // ssh hands on no environment.
  const [name = "", value = ""] = bench.marker.split("=");
  if (noSsh === null) ssh = await startSsh(folder, { [name]: value });
  const { python } = bench;
  bench = { ...bench, python: { ...python, env: { ...python.env, ...slurm?.env } } };
});
afterAll(async () => {
  // What outlives its orchestrator here: sbatch, which looks every half a minute whether its job is over.
  for (const pid of processesWith(bench.marker)) spawnSync("kill", [String(pid)]);
  ssh?.stop();
  await slurm?.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** The entry of `nodes` that gives two workers, or one more machine for training. */
function nodeBy(way: string, isTraining = false): object {
  if (way === "ssh")
    return { kind: "ssh", host: ssh?.host, options: ssh?.options, ...(isTraining ? {} : { workers: 2 }) };
  if (way === "torchrun") return { kind: "torchrun", workersPerNode: 2 };
  // The output of a batch job lies where the test is cleaned up.
  const args = way === "sbatch" ? [`--output=${folder}/job-%j.out`] : [];
  return { kind: "slurm", via: way, args, ...(isTraining ? {} : { nodes: 2 }) };
}

const noJobs = async (): Promise<void> => {
  if (slurm !== undefined) await expect.poll(slurm.jobs, { timeout: 20_000 }).toEqual([]);
};

describe("workers by", () => {
  let local: Buffer;

  const onNodes = (way: string, more: Partial<WorkersConfig> = {}): Partial<WorkersConfig> => {
    const node = { ...nodeBy(way), device: "cpu", threads: 1 };
    const { nodes } = workersSchema.parse({ nodes: [node] });
    return { nodes, listen: "tcp://127.0.0.1:0", heartbeatTimeoutMs: 3_000, ...more };
  };
  const guests = (): number[] => guestsOf(bench);

  beforeAll(async () => {
    local = await withNodePool(bench, { count: 1 }, ({ pool }) => encodeAll(bench, pool));
  });

  it.each([...SSH, "torchrun", ...SLURM])(
    "%s: vectors as of a local worker, also when one is killed; no secret in sight",
    async (way) => {
      await withNodePool(bench, onNodes(way), async ({ pool, told }) => {
        await pool.describe(bench.model);
        await until(() => guests().length === 2, 60_000);
        const nodes = guests().map(
          (pid) => /SLURMD_NODENAME=(\w+)/.exec(readFileSync(`/proc/${pid}/environ`, "latin1"))?.[1],
        );
        if (way === "srun" || way === "sbatch") expect(nodes.sort()).toEqual(["n1", "n2"]);
        const all = processesWith(bench.marker);
        const seen = all.map((pid) =>
          ["cmdline", "environ"].map((file) => readFileSync(`/proc/${pid}/${file}`, "latin1")).join(),
        );
        expect(seen.join()).not.toContain("quarry1.");
        const [victim = 0] = guests();
        const vectors = await encodeAll(bench, pool, 300, (count) => {
          if (count === 20) process.kill(victim, "SIGKILL");
        });
        expect(vectors.equals(local)).toBe(true);
        expect(told()).toContain("lost its connection");
        expect(told()).not.toContain("quarry1.");
        await until(() => guests().length === 2 && !guests().includes(victim), 60_000);
      });
      await noJobs();
    },
  );

  it.each(SLURM)("%s: a job that is cancelled takes its workers along, and the others finish", async (way) => {
    await withNodePool(bench, onNodes(way, { count: 1 }), async ({ pool, told }) => {
      await pool.describe(bench.model);
      await until(() => guests().length === 2, 60_000);
      let cancelled: Promise<void> | undefined;
      const vectors = await encodeAll(bench, pool, 300, (count) => {
        if (count === 20) cancelled = slurm?.jobs().then(([job = ""]) => slurm?.cancel(job));
      });
      await cancelled;
      expect(vectors.equals(local)).toBe(true);
      await until(() => guests().length === 0, 20_000);
      await until(() => told().includes(`${way} for 2 nodes`), 20_000);
    });
    await noJobs();
  });

  it.each([...SSH, "torchrun", ...SLURM])("%s: nothing is left of an orchestrator that is killed", async (way) => {
    const script = fileURLToPath(new URL("../fixtures/node-orchestrator.ts", import.meta.url));
    const given = JSON.stringify({ bench, workers: onNodes(way) });
    const orchestrator = execa("node", ["scripts/on-build.mjs", script, given], { reject: false, buffer: false });
    let said = "";
    orchestrator.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await until(() => said.includes("busy"), 60_000);
    expect(guests()).toHaveLength(2);
    orchestrator.kill("SIGKILL");
    await orchestrator;
    // sbatch itself asks Slurm every now and then whether the job is over.
    await until(() => processesWith(bench.marker).every((pid) => isCommand(pid, "sbatch")), 5_000);
    await noJobs();
  });
});

describe.skipIf(OTHERS.length === 0)("a machine that trains along, by", () => {
  let training: TrainingBench;
  let alone: RecordedJob;
  const options = {
    isDropoutOn: false,
    device: "cpu",
    maxSteps: 6,
    args: { learning_rate: 5e-3, save_steps: 2 },
  } as const;

  beforeAll(async () => {
    training = await TrainingBench.open();
    alone = training.job("alone", options);
    await runTraining(alone.job);
  });
  afterAll(() => training.close());

  it.each(OTHERS)("%s: both have the losses of one rank", async (way) => {
    const python = { ...training.python, env: { ...training.python.env, ...slurm?.env } };
    const { nodes: others } = workersSchema.parse({ nodes: [nodeBy(way, true)] });
    const nodes: TrainNodes = { others, count: 2, least: 2, listen: "tcp://127.0.0.1:0", runDir: training.folder };
    const both = training.job(way, { ...options, python, ranks: 2, nodes });
    expect(await runTraining(both.job)).toMatchObject({ step: 6, isStopped: false });
    const found = losses(both);
    for (const [step, loss] of losses(alone)) {
      expect(Math.abs((found.get(step) ?? Number.NaN) - loss), `step ${step}`).toBeLessThan(1e-5);
    }
    await noJobs();
  });
});
