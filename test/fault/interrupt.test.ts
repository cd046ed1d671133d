/** Ctrl-C in a terminal signals the whole foreground group at once; training saves all the same. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findProcesses, openWorkplace, until, type Workplace } from "../e2e/harness.js";

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: 120, queries: 24 });
}, 400_000);
afterAll(() => place.remove());

async function training(name: string) {
  await place.experiment(
    `
    name: "${name}",
    model: biEncoder(${JSON.stringify(place.model)}),
    train: {
      data: binary({ positives: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }) }),
      globalBatchSize: 4,
      threads: 1,
      args: { maxSteps: 5_000, saveSteps: 5_000 },
    },
    `,
    name,
  );
  const folder = join(place.folder, "runs", name, "train");
  const steps = async (): Promise<{ step: number }[]> =>
    (await readFile(join(folder, "steps.jsonl"), "utf8").catch(() => ""))
      .trim()
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line));
  return {
    begun: () => until(async () => (await steps()).length > 3, 200_000, "training begins"),
    /** The last step has a checkpoint, and nothing runs any more. */
    isSaved: async () => {
      expect(await readdir(folder)).toContain(`checkpoint-${(await steps()).at(-1)?.step}`);
      expect(await place.survivors()).toEqual([]);
    },
  };
}

test("a signal to the whole process group saves the last step", async () => {
  const { begun, isSaved } = await training("group");
  const running = place.start("train", "group.ts");
  await begun();
  process.kill(-(running.pid as number), "SIGINT");
  const { exitCode, stderr } = await running;
  expect(exitCode, stderr).toBe(130);
  await isSaved();
}, 400_000);

test("so it does where the output goes through a pipe whose reader the signal ends", async () => {
  const { begun, isSaved } = await training("piped");
  const running = place.startIn('"$@" 2>&1 | cat > seen.txt', "train", "piped.ts");
  await begun();
  process.kill(-(running.pid as number), "SIGINT");
  await until(async () => (await findProcesses("piped.ts", place.folder)).length === 0, 200_000, "the command ends");
  await running;
  await isSaved();
}, 400_000);
