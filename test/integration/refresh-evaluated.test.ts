/** Negatives refreshed and checkpoints evaluated in one training on two ranks: neither disturbs the other, nor does a death. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { source } from "../../src/experiment/define.js";
import type { QuarryEvent } from "../../src/report/events.js";
import { openWorkplace, type Workplace } from "../e2e/harness.js";
import { curveOf, refreshing, STEPS, stepLines, switchEntries, trainAndListen } from "./refresh-harness.js";
import { descendants, ranks } from "./training-harness.js";

let place: Workplace;

beforeAll(async () => {
  place = await openWorkplace({ passages: 160, queries: 24, isEachDifferent: true });
});
afterAll(() => place.remove());

/** Two ranks, dropout on; new negatives at steps 9 and 15, measures at 5, 10, 15 and 20. */
async function trained(
  name: string,
  mode: "workers" | "ranks",
  listener?: (event: QuarryEvent) => void,
): Promise<QuarryEvent[]> {
  const data = source({ corpus: place.collection, qrels: join(place.collection, "qrels/test.tsv") });
  const evaluate = { data, measures: ["nDCG@10"], evalSteps: 5, mode, workers: { threads: 1 } };
  const more = { ranks: 2, evaluate } as const;
  const experiment = refreshing(place, name, { everySteps: 6, switchAfterSteps: 3 }, more);
  const events = await trainAndListen(experiment, listener);
  expect(descendants("quarry_runtime")).toEqual([]);
  return events;
}

const switchesOf = async (name: string) =>
  (await switchEntries(place, name)).map(({ version, fromStep, atStep }) => ({ version, fromStep, atStep }));

test("workers measure the checkpoints while others mine, each at its steps", async () => {
  const events = await trained("beside", "workers");
  expect(await switchesOf("beside")).toEqual([
    { version: 1, fromStep: 6, atStep: 9 },
    { version: 2, fromStep: 12, atStep: 15 },
  ]);
  expect((await curveOf(place, "beside")).map((line) => (line as { step: number }).step)).toEqual([5, 10, 15, 20]);
  const checkpoints = events.flatMap((event) => (event.type === "checkpoint" ? [event.step] : []));
  expect(checkpoints).toEqual([4, 5, 6, 8, 10, 12, 15, 16, 18, 20]);
  const workers = new Set(events.flatMap((event) => (event.type === "worker" ? [event.worker] : [])));
  expect([...workers].sort()).toEqual(["evaluate-0", "mine-0", "rank-0", "rank-1"]);
});

test("ranks that measure by themselves, one of them killed, have the batches, losses and values of an undisturbed run", async () => {
  let isKilled = false;
  const events = await trained("killed", "ranks", (event) => {
    if (isKilled || event.type !== "trainStep" || event.step !== 13) return;
    isKilled = true;
    process.kill(ranks()[1] as number, "SIGKILL");
  });
  expect(isKilled).toBe(true);
  expect(events.some((event) => event.type === "worker" && event.state === "lost")).toBe(true);
  const [whole, killed] = [await stepLines(place, "beside"), await stepLines(place, "killed")];
  expect(whole).toHaveLength(STEPS);
  const plain = (lines: typeof whole) =>
    lines.map(({ step, loss, rows, negatives }) => ({ step, loss, rows, negatives }));
  expect(plain(killed)).toEqual(plain(whole));
  expect(await switchesOf("killed")).toEqual(await switchesOf("beside"));
  expect(await curveOf(place, "killed")).toEqual(await curveOf(place, "beside"));
});
