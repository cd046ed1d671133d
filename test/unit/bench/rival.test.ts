/** Trainings that are held at the gate in their loss: what the training benchmark times. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type RivalOptions, startRival } from "../../../scripts/bench/train/rival.js";

const PYTHON_PATH = fileURLToPath(new URL("../../../scripts/bench/train", import.meta.url));
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-gate-"));
});
afterAll(async () => rm(folder, { recursive: true }));

async function rival(name: string, script: string): Promise<RivalOptions> {
  const path = join(folder, `${name}.py`);
  await writeFile(path, script);
  return { name, command: "python3", args: [path], env: { ...process.env, PYTHONPATH: PYTHON_PATH }, folder };
}

const TRAINING = `
import time
from gate import Gate
gate = Gate()
for step in range(20):
    gate.tick(step / 10)
    time.sleep(0.02)
`;

test("a training waits at its first loss, does the steps it is let go for, and runs to its end", async () => {
  const started = await startRival(await rival("steady", TRAINING));
  const { loss, seconds } = await started.first;
  expect(loss).toBe(0);
  expect(seconds).toBeGreaterThan(0);
  const one = await started.go(1);
  expect(one.losses).toEqual([0.1]);
  const lap = await started.go(3);
  expect(lap.losses).toEqual([0.2, 0.3, 0.4]);
  // What it waited at the gate is not counted.
  for (const each of lap.seconds) expect(each).toBeGreaterThanOrEqual(0.02);
  await started.finish();
});

test("a training that fails is told with what it said", async () => {
  const started = await startRival(await rival("broken", "import sys; sys.exit('no such model')"));
  await expect(started.first).rejects.toThrow(/broken ended with status 1[\s\S]*no such model/);
  await started.kill();
});

test("a training that ends too early is told, not waited for", async () => {
  const started = await startRival(await rival("short", TRAINING.replace("20", "3")));
  await expect(started.go(10)).rejects.toThrow(/short ended with status 0/);
  await started.kill();
});

test("a training that is ended leaves no process", async () => {
  const started = await startRival(await rival("killed", TRAINING));
  await started.first;
  await started.kill();
  expect(() => process.kill(started.pid, 0)).toThrow(/ESRCH/);
});
