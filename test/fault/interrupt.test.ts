/** Ctrl-C in a terminal signals the whole foreground group at once; training saves all the same. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findProcesses, openWorkplace, until, type Workplace } from "../e2e/harness.js";

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: 120, queries: 24 });
}, 60_000);
afterAll(() => place.remove());

test("a signal to the whole process group saves the last step", async () => {
  await place.experiment(`
    name: "group",
    model: biEncoder(${JSON.stringify(place.model)}),
    train: {
      data: binary({ positives: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }) }),
      globalBatchSize: 4,
      args: { maxSteps: 5_000, saveSteps: 5_000 },
    },
  `);
  const steps = async (): Promise<{ step: number }[]> =>
    (await readFile(join(place.folder, "runs/group/train/steps.jsonl"), "utf8").catch(() => ""))
      .trim()
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  const running = place.start("train", "experiment.ts");
  await until(async () => (await steps()).length > 3, 60_000, "training begins");
  process.kill(-(running.pid as number), "SIGINT");
  const { exitCode, stderr } = await running;
  expect(exitCode, stderr).toBe(130);
  const last = (await steps()).at(-1)?.step as number;
  const checkpoints = await readdir(join(place.folder, "runs/group/train"));
  expect(checkpoints).toContain(`checkpoint-${last}`);
  expect(await findProcesses("quarry_runtime", place.folder)).toEqual([]);
}, 120_000);
