/** Launchers for real: a sshd, torchrun, and a Slurm of two nodes, all on this machine; and what is left when somebody ends them. */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ofProcess, processesWith, until } from "../fixtures/fake-pool.js";
import { expectCancelled, expectTrainedAlong, trainAlone } from "../fixtures/launched.js";
import { type Launchers, openLaunchers, startable } from "../fixtures/launchers.js";
import { encodeAll, guestsOf, withNodePool } from "../fixtures/node-pool.js";
import { TrainingBench } from "../integration/training-harness.js";

const script = fileURLToPath(new URL("../fixtures/node-orchestrator.ts", import.meta.url));
const waiting = fileURLToPath(new URL("../fixtures/launching-orchestrator.ts", import.meta.url));
let launchers: Launchers;
let local: Buffer;

beforeAll(async () => {
  launchers = await openLaunchers();
  const { bench } = launchers;
  local = await withNodePool(bench, { count: 1 }, ({ pool }) => encodeAll(bench, pool));
});
afterAll(() => launchers.close());

const guests = (): number[] => guestsOf(launchers.bench);

it.each(startable("ssh", "torchrun", "srun", "sbatch"))(
  "workers by %s: vectors as of a local one, also when one is killed; no secret in sight, and nothing left of a killed orchestrator",
  async (way) => {
    const { bench } = launchers;
    const given = JSON.stringify({ bench, workers: launchers.workers(way) });
    const orchestrator = execa("node", ["scripts/on-build.mjs", script, given], { reject: false, buffer: false });
    const lines = createInterface({ input: orchestrator.stdout });
    const answers = lines[Symbol.asyncIterator]();
    const answer = async () => JSON.parse((await answers.next()).value ?? "null") as Record<string, unknown>;
    expect(await answer()).toEqual({ isReady: true });
    await until(() => guests().length === 2);
    const nodes = guests().map((pid) => /SLURMD_NODENAME=(\w+)/.exec(ofProcess(pid, "environ"))?.[1]);
    if (way === "srun" || way === "sbatch") expect(nodes.sort()).toEqual(["n1", "n2"]);
    const all = processesWith(bench.marker);
    const seen = all.flatMap((pid) => [ofProcess(pid, "cmdline"), ofProcess(pid, "environ")]);
    expect(seen.join()).not.toContain("quarry1.");

    const [victim = 0] = guests();
    orchestrator.stdin.write("100\n");
    expect(await answer()).toEqual({ isInTheMiddle: true });
    process.kill(victim, "SIGKILL");
    const { vectors, told } = await answer();
    expect(vectors).toBe(createHash("sha256").update(local).digest("hex"));
    expect(told).toContain("lost its connection");
    expect(told).not.toContain("quarry1.");
    await until(() => guests().length === 2 && !guests().includes(victim));

    orchestrator.stdin.write("300\n");
    expect(await answer()).toEqual({ isInTheMiddle: true });
    orchestrator.kill("SIGKILL");
    await orchestrator;
    await until(() => processesWith(bench.marker).length === 0, 20_000);
    await launchers.noJobs();
  },
);

it.each(startable("srun", "sbatch"))(
  "%s: what waits behind another job is gone with a killed orchestrator",
  async (way) => {
    const { bench, slurm } = launchers;
    const nodes = launchers.machine(way).map((node) => ({ ...node, args: ["--exclusive"] }));
    const other = execa("srun", ["-N2", "--exclusive", "sleep", "600"], { env: slurm?.env ?? {}, reject: false });
    await expect.poll(async () => (await slurm?.jobs())?.length, { timeout: 60_000 }).toBe(1);
    const [first = ""] = (await slurm?.jobs()) ?? [];
    const given = JSON.stringify({ nodes, python: bench.python, logDir: join(bench.folder, `waiting-${way}`) });
    const orchestrator = execa("node", ["scripts/on-build.mjs", waiting, given], { reject: false });
    await expect.poll(async () => (await slurm?.jobs())?.length, { timeout: 60_000 }).toBe(2);
    orchestrator.kill("SIGKILL");
    await orchestrator;
    await until(() => processesWith(bench.marker).length === 0);
    await expect.poll(async () => slurm?.jobs(), { timeout: 60_000 }).toEqual([first]);
    await slurm?.cancel(first);
    await other;
    await launchers.noJobs();
  },
);

// By sbatch as well in the drills: what is seen of a cancelled job is the end of a process there as here.
it.each(startable("srun"))("%s: a job that is cancelled takes its workers along, and the others finish", (way) =>
  expectCancelled(launchers, way, local),
);

// By ssh and srun as well in the drills: they start their command as they start workers above, and what it does then is
// what training-nodes.test.ts shows. A batch job alone is told nothing of its parent.
it.each(startable("sbatch"))("a machine that trains along, by %s: both have the losses of one rank", async (way) => {
  const training = await TrainingBench.open();
  await expectTrainedAlong(launchers, way, training, await trainAlone(launchers, training));
  await training.close();
});
