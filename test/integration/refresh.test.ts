/** Negatives that are mined while the model trains: real ranks, real miners, the tiny model. */
import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { step } from "../../src/experiment/function-step.js";
import { replayStep } from "../../src/pipeline/replay.js";
import type { QuarryEvent } from "../../src/report/events.js";
import { openWorkplace, type Workplace } from "../e2e/harness.js";
import { refreshing, STEPS, stepLines, switchEntries, trainAndListen } from "./refresh-harness.js";
import { descendants } from "./training-harness.js";

let place: Workplace;
const ANY = step({ name: "any", version: 1, fn: () => true });

beforeAll(async () => {
  place = await openWorkplace({ passages: 160, queries: 24, isEachDifferent: true });
});
afterAll(() => place.remove());

async function negatives(name: string, version: number): Promise<string[][]> {
  const path = join(place.folder, "runs", name, `train/negatives/${version}/part-0/negatives.tsv`);
  const lines = (await readFile(path, "utf8")).trim().split("\n").slice(1);
  return lines.map((line) => line.split("\t"));
}

test("at fixed steps new negatives are mined, announced and learned from, and every step says how old they are", async () => {
  const run = (file: string): string => join(place.folder, "runs/fixed", file);
  const written: unknown[] = [];
  const mine = { topK: 30, negativesPerQuery: 4, sampling: "random", filter: ANY } as const;
  const refresh = { everySteps: 6, switchAfterSteps: 3, mine };
  const events = await trainAndListen(refreshing(place, "fixed", refresh), (event) => {
    if (event.type !== "checkpoint") return;
    // Whoever is killed now goes on from this checkpoint, and never tells the steps before it again.
    const last = readFileSync(run("train/steps.jsonl"), "utf8").trim().split("\n").at(-1) ?? "";
    written.push([
      event.step,
      JSON.parse(last).step,
      readFileSync(run("journal.jsonl"), "utf8").includes("trainBegun"),
    ]);
  });
  expect(written).toEqual([4, 6, 8, 12, 16, 18, 20].map((step) => [step, step, true]));
  const switches = [
    { version: 1, fromStep: 6, atStep: 9 },
    { version: 2, fromStep: 12, atStep: 15 },
  ];
  expect(await switchEntries(place, "fixed")).toMatchObject(
    switches.map((each) => ({ ...each, checkpoint: `checkpoint-${each.fromStep}` })),
  );
  expect(events.filter(({ type }) => type === "negativesSwitched")).toMatchObject(
    switches.map((each) => ({ ...each, staleness: 3, negatives: 12 * 4 })),
  );
  const lines = await stepLines(place, "fixed");
  expect(lines.map(({ negatives: { version } }) => version)).toEqual(
    Array.from({ length: STEPS }, (_, step) => (step < 9 ? 0 : step < 15 ? 1 : 2)),
  );
  expect(lines.map(({ negatives: { staleness } }) => staleness).slice(8, 16)).toEqual([null, 3, 4, 5, 6, 7, 8, 3]);
  // Checkpoints are written where the options say, and where negatives are mined.
  const checkpoints = events.flatMap((event) => (event.type === "checkpoint" ? [event.step] : []));
  expect(checkpoints).toEqual([4, 6, 8, 12, 16, 18, 20]);
  const [first, second] = [await negatives("fixed", 1), await negatives("fixed", 2)];
  expect(first).not.toEqual(second);
  // Known positives are no negatives.
  const judged = new Set((await readFile(join(place.collection, "qrels/train.tsv"), "utf8")).split("\n"));
  for (const [query, passage] of [...first, ...second]) expect(judged).not.toContain(`${query}\t${passage}\t1`);
  // Ranks ask for steps ahead of their work: that alone is no waiting.
  const told = events.flatMap((event): (number | string)[] => {
    if (event.type === "trainStep") return [event.step];
    const [, step] = (event.type === "notice" && /^training waits after step (\d+)/.exec(event.message)) || [];
    return step === undefined ? [] : [`waits after ${step}`];
  });
  for (const [at, entry] of told.entries())
    if (typeof entry === "string") expect(entry).toBe(`waits after ${told[at - 1]}`);
  // Nothing is left of the weights that mined, and of the searches.
  const folder = join(place.folder, "runs/fixed/train/negatives");
  expect((await readdir(folder)).sort()).toEqual(["1", "2"]);
  expect((await readdir(join(folder, "1/part-0"))).sort()).toEqual(["negatives.tsv", "report.json"]);
});

test("a replay finds the batch of a step with the negatives that it had, functions of mining or not", async () => {
  const lines = await stepLines(place, "fixed");
  for (const number of [9, 10, 16]) {
    const replayed = await replayStep(join(place.folder, "runs/fixed"), { step: number });
    expect(replayed).toMatchObject({ isSameBatch: true, rows: lines[number - 1]?.rows });
  }
});

test("a stop while training waits for negatives keeps the steps done, and the same command repeats the curve", async () => {
  const mine = { topK: 30, negativesPerQuery: 4, sampling: "random", filter: ANY } as const;
  const experiment = refreshing(place, "stopped", { everySteps: 6, switchAfterSteps: 3, mine });
  const stop = new AbortController();
  // However slow the disk that checkpoints are written to: nothing is mined before training waits for it.
  let miners: number[] = [];
  const waits = (event: QuarryEvent): void => {
    if (event.type === "worker" && event.worker === "mine-0" && event.state === "loading" && miners.length === 0) {
      miners = descendants("quarry-worker-");
      for (const pid of miners) process.kill(pid, "SIGSTOP");
    }
    if (event.type !== "notice" || !event.message.startsWith("training waits")) return;
    stop.abort();
    for (const pid of miners) process.kill(pid, "SIGCONT");
  };
  await expect(trainAndListen(experiment, waits, stop.signal)).rejects.toMatchObject({
    code: "INTERRUPTED",
    message: `Stopped on request after step 9 of ${STEPS}.`,
  });
  expect(miners).toHaveLength(1);
  const events = await trainAndListen(experiment);
  // Each step is done once.
  expect(events.flatMap((event) => (event.type === "trainStep" ? [event.step] : []))[0]).toBe(10);
  expect(await switchEntries(place, "stopped")).toMatchObject([{ atStep: 9 }, { atStep: 15 }]);
  const [whole, found] = [await stepLines(place, "fixed"), await stepLines(place, "stopped")];
  for (const [at, { step, loss, rows }] of whole.entries()) {
    expect(Math.abs((found[at]?.loss ?? Number.NaN) - loss), `step ${step}`).toBeLessThan(1e-6);
    expect(found[at]?.rows).toEqual(rows);
  }
});

test("as soon as they are ready they are learned from, never by a step that a rank was served before", async () => {
  await trainAndListen(refreshing(place, "ready", { everySteps: 9, switchAfterSteps: "ready", maxStaleness: 10 }));
  const switches = await switchEntries(place, "ready");
  // The limit on staleness makes training wait for the first ones; when step 18 is over, ranks hold the last steps.
  expect(switches.map(({ fromStep }) => fromStep)).toEqual([9]);
  const lines = await stepLines(place, "ready");
  expect(lines).toHaveLength(STEPS);
  for (const { step, negatives: told } of lines) {
    const last = switches.findLast(({ atStep }) => atStep < step);
    expect(told).toEqual({
      version: last?.version ?? 0,
      staleness: last === undefined ? null : step - 1 - last.fromStep,
    });
    expect(told.staleness ?? step - 1).toBeLessThanOrEqual(10);
  }
});
