/** Machines that train along: what is called for each, what it is told, and that no secret shows. */
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { workersSchema } from "../../../src/experiment/schema.js";
import type { Launched } from "../../../src/pool/reception.js";
import { findPython } from "../../../src/python/environment.js";
import { EventStream, type QuarryEvent } from "../../../src/report/events.js";
import type { TrainJob } from "../../../src/training/index.js";
import { arrangeMeeting } from "../../../src/training/meeting.js";
import { until } from "../../fixtures/fake-pool.js";

/** Notes its arguments and what comes over stdin, then waits to be ended. */
const DOUBLE = `#!/bin/sh
name=$(basename "$0")
echo "$*" > "$DOUBLES/$name.argv"
env > "$DOUBLES/$name.env"
if [ "$name" = sbatch ]; then cat; else head -n 1; fi > "$DOUBLES/$name.part"
mv "$DOUBLES/$name.part" "$DOUBLES/$name.stdin"
exec sleep 60
`;

let folder: string;
let launched: Launched | null = null;
let events: QuarryEvent[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "quarry-test-meeting-"));
  events = [];
  for (const name of ["ssh", "srun", "sbatch"]) {
    writeFileSync(join(folder, name), DOUBLE);
    chmodSync(join(folder, name), 0o755);
  }
});
afterEach(async () => {
  await launched?.close(0);
  rmSync(folder, { recursive: true, force: true });
});

const seen = (name: string): string => readFileSync(join(folder, name), "utf8");

/** Starts one machine of each kind beside this one; two ranks each. */
async function start(given: readonly object[], count: number, least: number): Promise<readonly string[]> {
  const stream = new EventStream();
  stream.subscribe((event) => events.push(event));
  // What holds the launchers is Quarry's own.
  const found = await findPython();
  const env = { ...found.env, PATH: `${folder}:${process.env["PATH"] ?? ""}`, DOUBLES: folder };
  const others = workersSchema.parse({ nodes: given }).nodes;
  const nodes = { others, count, least, listen: "tcp://127.0.0.1:0", runDir: folder };
  const job = { ranks: 2 * count, threads: 3, device: "cpu", startTimeoutMs: 90_000, nodes, events: stream };
  const meeting = await arrangeMeeting(
    { ...job, python: { executable: found.executable, env }, logDir: folder } as unknown as TrainJob,
    nodes,
    4,
  );
  launched = await meeting.start(() => ({ endpoint: "tcp://127.0.0.1:4555", token: "secret" }));
  return meeting.arguments;
}

test("all meet at one port of the named address, each with its number, its ranks and a ticket over stdin", async () => {
  const own = await start(
    [
      { kind: "ssh", host: "gpu2" },
      { kind: "slurm", nodes: 3 },
      { kind: "slurm", via: "sbatch" },
    ],
    6,
    5,
  );
  await until(() => ["ssh", "srun", "sbatch"].every((name) => existsSync(join(folder, `${name}.stdin`))));
  const [, where = "", run = ""] =
    /--rendezvous (127\.0\.0\.1:\d+) --nodes 5:6 --run-id ([0-9a-f]{16})/.exec(own.join(" ")) ?? [];
  expect(own.join(" ")).toBe(`--rendezvous ${where} --nodes 5:6 --run-id ${run} --join-seconds 90 --node 0`);
  const launch = `-m quarry_runtime launch --ticket - --ranks 2 --max-restarts 4 --threads 3 --device cpu --rendezvous ${where} --nodes 5:6 --run-id ${run} --join-seconds 90`;
  expect(seen("ssh.argv")).toContain(`${launch} --node 1 --with-parent`);
  // One task a machine; Slurm numbers them from the entry's first on.
  expect(seen("srun.argv")).toContain("--nodes=3 --ntasks-per-node=1");
  expect(seen("srun.argv")).toContain(`${launch} --node 2 --by-slurm --with-parent`);
  // The stdin of a batch script ends with the ticket, which must not end the machine.
  expect(seen("sbatch.stdin")).toContain(`${launch} --node 5 --by-slurm <<`);
  expect([seen("ssh.stdin"), seen("srun.stdin")].every((line) => line.startsWith("quarry1."))).toBe(true);
  const visible = ["ssh", "srun", "sbatch"].flatMap((name) => [seen(`${name}.argv`), seen(`${name}.env`)]).join();
  expect(visible).not.toContain("quarry1.");
});

test("a machine that is started by hand gets a notice with the command, and a file with the ticket that goes away", async () => {
  await start([{ kind: "manual" }], 2, 2);
  const path = join(folder, "train-node-0.ticket");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(events).toEqual([
    expect.objectContaining({
      type: "notice",
      message: expect.stringContaining(path),
      hint: expect.stringContaining("--node 1"),
    }),
  ]);
  expect(JSON.stringify(events)).not.toContain("quarry1.");
  await launched?.close(0);
  expect(existsSync(path)).toBe(false);
});

test("what is no address is refused, and never taken for every network", async () => {
  const nodes = { others: [], count: 2, least: 2, listen: "tcp://127.0.0.1:99999", runDir: folder };
  await expect(arrangeMeeting({ ranks: 2, nodes } as unknown as TrainJob, nodes, 4)).rejects.toMatchObject({
    code: "CONFIG",
    message: expect.stringContaining("cannot meet at tcp://127.0.0.1:99999") as string,
  });
});
