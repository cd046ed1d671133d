/** Launchers that wait, for a connection or their turn in a queue, and look at nothing meanwhile: they end with the orchestrator. */
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterEach, beforeEach, expect, it } from "vitest";
import { findPython } from "../../src/python/environment.js";
import { processesWith, until } from "../fixtures/fake-pool.js";

const script = fileURLToPath(new URL("../fixtures/launching-orchestrator.ts", import.meta.url));
const NODES = [
  { kind: "ssh", host: "gpu1" },
  { kind: "slurm", nodes: 2 },
  { kind: "slurm", via: "sbatch", nodes: 2 },
];
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "quarry-test-waiting-"));
});
afterEach(() => {
  for (const pid of processesWith(`DOUBLES=${folder}`)) process.kill(pid, "SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

function program(name: string, body: string): void {
  writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`);
  chmodSync(join(folder, name), 0o755);
}

it.each([
  ["killed", ""],
  ["killed, also those that do not want to,", "trap '' TERM; "],
  ["at its end without a clean-up", ""],
])("when it is %s, and a batch job is cancelled", async (how, first) => {
  for (const name of ["ssh", "srun", "sbatch"]) {
    program(name, `${first}echo "$*" >"$DOUBLES/${name}.argv"; while :; do sleep 0.2; done`);
  }
  program("scancel", `echo "$*" >>"$DOUBLES/scancel.argv"`);
  const found = await findPython();
  const env = { ...found.env, PATH: `${folder}:${process.env["PATH"] ?? ""}`, DOUBLES: folder };
  const given = JSON.stringify({ nodes: NODES, python: { ...found, env }, logDir: join(folder, "logs") });
  const orchestrator = execa("node", ["scripts/on-build.mjs", script, given], { reject: false });
  await until(() => readdirSync(folder).filter((name) => name.endsWith(".argv")).length === 3);
  expect(processesWith(`DOUBLES=${folder}`).length).toBeGreaterThanOrEqual(3);
  if (how.startsWith("killed")) orchestrator.kill("SIGKILL");
  else orchestrator.stdin.end();
  await orchestrator;
  await until(() => processesWith(`DOUBLES=${folder}`).length === 0);
  expect(existsSync(join(folder, "scancel.argv"))).toBe(true);
  const [, job] = /--job-name=(quarry-\S+)/.exec(readFileSync(join(folder, "sbatch.argv"), "utf8")) ?? [];
  expect(readFileSync(join(folder, "scancel.argv"), "utf8")).toBe(`--name=${job}\n`);
});
