/** Negatives of several parts: a part that was mined before a kill is not searched again. */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, mix, source } from "../../src/experiment/define.js";
import type { TrainConfig } from "../../src/experiment/schema.js";
import { RunContext } from "../../src/pipeline/context.js";
import { MinedVersions } from "../../src/pipeline/refresh/mined-versions.js";
import { Miner } from "../../src/pipeline/refresh/miner.js";
import { EventStream } from "../../src/report/events.js";
import { openRunDir } from "../../src/rundir/directory.js";
import { openWorkplace, type Workplace } from "../e2e/harness.js";

const PASSAGES = 300;
let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: PASSAGES, queries: 24, isEachDifferent: true });
});
afterAll(() => place.remove());

/** A run folder with two parts to mine for. */
async function mining(name: string) {
  const texts = { corpus: place.collection, queries: join(place.collection, "queries.jsonl") };
  const part = (split: string) => {
    const positives = source({ ...texts, qrels: join(place.collection, `qrels/${split}.tsv`) });
    return { name: split, data: binary({ positives, negativesPerQuery: 2 }) };
  };
  const experiment = defineExperiment({
    name,
    model: biEncoder(place.model, { dtype: "float32" }),
    train: {
      data: mix({ parts: [part("train"), part("test")] }),
      globalBatchSize: 4,
      threads: 1,
      refresh: { everySteps: 4, mine: { topK: 30, negativesPerQuery: 4 }, workers: { threads: 1 } },
      args: { maxSteps: 12 },
    },
    workers: { unitSize: 32, batchSize: 8, device: "cpu" },
    cacheDir: join(place.folder, "cache"),
  });
  const runDir = await openRunDir({ path: join(place.folder, "runs", name), config: {} });
  await mkdir(runDir.file("train"));
  const events = new EventStream();
  let done = 0;
  events.subscribe((event) => {
    if (event.type === "worker") done = Math.max(done, event.done);
  });
  const context = new RunContext(experiment, runDir, events, new AbortController().signal);
  const { refresh, ...others } = experiment.config.train as TrainConfig;
  const train = { ...others, refresh };
  const root = runDir.file("train/negatives");
  const miner = () =>
    new Miner(context, new MinedVersions(root, train, []), { count: 1, threads: 1, device: "cpu" }, 1);
  const take = (): number => [done, (done = 0)][0] as number;
  return { runDir, miner, take, file: (path: string) => join(root, "1", path) };
}

test("after a kill in the second part only that one is searched, and nothing of the searches is left", async () => {
  const whole = await mining("whole");
  const mined = await whole.miner().mine(1, 4, place.model);
  expect(whole.take()).toBeGreaterThanOrEqual(2 * PASSAGES);
  const cut = await mining("cut");
  const first = cut.miner();
  const interrupted = first.mine(1, 4, place.model).catch((thrown: unknown) => thrown);
  while (!existsSync(cut.file("part-1"))) await sleep(2);
  await first.close();
  expect(await interrupted).toMatchObject({ code: "INTERRUPTED" });
  cut.take();
  const again = await cut.miner().mine(1, 4, place.model);
  expect(cut.take()).toBeLessThan(2 * PASSAGES);
  expect({ ...again, seconds: 0 }).toEqual({ ...mined, seconds: 0 });
  for (const part of ["part-0", "part-1"]) {
    expect((await readdir(cut.file(part))).sort()).toEqual(["negatives.tsv", "report.json"]);
    const path = `${part}/negatives.tsv`;
    expect(await readFile(cut.file(path), "utf8")).toBe(await readFile(whole.file(path), "utf8"));
  }
  for (const { runDir } of [whole, cut]) await runDir.close();
});
