/** A real Slurm of two nodes on this machine: workers and ranks that srun and sbatch start, and what is left when somebody ends them. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type WorkersConfig, workersSchema } from "../../src/experiment/schema.js";
import { runTraining, type TrainNodes } from "../../src/training/index.js";
import { processesWith, until } from "../fixtures/fake-pool.js";
import { encodeAll, type NodeBench, openNodeBench, withNodePool } from "../fixtures/node-pool.js";
import { type SlurmCluster, startSlurm, whyNoSlurm } from "../fixtures/slurm-cluster.js";
import { isCommand, losses, type RecordedJob, TrainingBench } from "../integration/training-harness.js";

const reason = whyNoSlurm();
if (reason !== null) process.stderr.write(`Skipped, nodes of Slurm: ${reason}.\n`);
const VIA = ["srun", "sbatch"] as const;

let folder: string;
let slurm: SlurmCluster;

const noJobs = async (): Promise<void> => {
  await expect.poll(() => slurm.jobs(), { timeout: 20_000 }).toEqual([]);
};

describe.skipIf(reason !== null)("nodes of Slurm", () => {
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "quarry-test-slurm-"));
    slurm = await startSlurm(2, folder);
  });
  afterAll(async () => {
    await slurm.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  describe("with workers", () => {
    let bench: NodeBench;
    let local: Buffer;

    const onNodes = (via: string, more: Partial<WorkersConfig> = {}): Partial<WorkersConfig> => {
      // The output of a batch job lies where the test is cleaned up.
      const args = via === "sbatch" ? [`--output=${folder}/job-%j.out`] : [];
      const node = { kind: "slurm", via, nodes: 2, threads: 1, device: "cpu", args };
      const { nodes } = workersSchema.parse({ nodes: [node] });
      return { nodes, listen: "tcp://127.0.0.1:0", heartbeatTimeoutMs: 3_000, ...more };
    };
    const guests = (): number[] =>
      processesWith(bench.marker).filter((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("\0--guest\0"));
    const nodesOf = (pids: readonly number[]): (string | undefined)[] =>
      pids.map((pid) => /SLURMD_NODENAME=(\w+)/.exec(readFileSync(`/proc/${pid}/environ`, "latin1"))?.[1]);

    beforeAll(async () => {
      const { python, ...found } = await openNodeBench(folder);
      bench = { ...found, python: { ...python, env: { ...python.env, ...slurm.env } } };
      local = await withNodePool(bench, { count: 1 }, ({ pool }) => encodeAll(bench, pool));
    });

    it.each(VIA)(
      "%s: one on each node; vectors as of a local worker, also when one is killed; no secret in sight",
      async (via) => {
        await withNodePool(bench, onNodes(via), async ({ pool, told }) => {
          await pool.describe(bench.model);
          await until(() => guests().length === 2, 60_000);
          expect(nodesOf(guests()).sort()).toEqual(["n1", "n2"]);
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

    it.each(VIA)("%s: a job that is cancelled takes its workers along, and the others finish", async (via) => {
      await withNodePool(bench, onNodes(via, { count: 1 }), async ({ pool, told }) => {
        await pool.describe(bench.model);
        await until(() => guests().length === 2, 60_000);
        let cancelled: Promise<void> | undefined;
        const vectors = await encodeAll(bench, pool, 300, (count) => {
          if (count === 20) cancelled = slurm.jobs().then(([job = ""]) => slurm.cancel(job));
        });
        await cancelled;
        expect(vectors.equals(local)).toBe(true);
        await until(() => guests().length === 0, 20_000);
        await until(() => told().includes(`${via} for 2 nodes`), 20_000);
      });
      await noJobs();
    });

    it.each(VIA)("%s: nothing is left of the job of an orchestrator that is killed", async (via) => {
      const script = fileURLToPath(new URL("../fixtures/node-orchestrator.mjs", import.meta.url));
      const given = JSON.stringify({ bench, workers: onNodes(via) });
      const orchestrator = execa("node", [script, given], { reject: false, buffer: false });
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

  describe("with ranks", () => {
    let bench: TrainingBench;
    let alone: RecordedJob;
    const options = {
      isDropoutOn: false,
      device: "cpu",
      maxSteps: 6,
      args: { learning_rate: 5e-3, save_steps: 2 },
    } as const;

    beforeAll(async () => {
      bench = await TrainingBench.open();
      alone = bench.job("alone", options);
      await runTraining(alone.job);
    });
    afterAll(() => bench.close());

    it.each(VIA)("%s: two nodes and this machine have the losses of one rank", async (via) => {
      const python = { ...bench.python, env: { ...bench.python.env, ...slurm.env } };
      const args = via === "sbatch" ? [`--output=${folder}/train-%j.out`] : [];
      const { nodes: others } = workersSchema.parse({ nodes: [{ kind: "slurm", via, args }] });
      const nodes: TrainNodes = { others, count: 2, least: 2, listen: "tcp://127.0.0.1:0", runDir: bench.folder };
      const both = bench.job(via, { ...options, python, ranks: 2, nodes });
      expect(await runTraining(both.job)).toMatchObject({ step: 6, isStopped: false });
      const found = losses(both);
      for (const [step, loss] of losses(alone)) {
        expect(Math.abs((found.get(step) ?? Number.NaN) - loss), `step ${step}`).toBeLessThan(1e-5);
      }
      await noJobs();
    });
  });
});
