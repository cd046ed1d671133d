/** Texts that negatives are mined from change while the model trains: nobody learns from them, and with the files put back the training goes on. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { source } from "../../src/experiment/define.js";
import { openWorkplace, type Workplace } from "../e2e/harness.js";
import { writeCollection } from "../fixtures/collection.js";
import { refreshing, STEPS, stepLines, switchEntries, trainAndListen } from "./refresh-harness.js";
import { descendants } from "./training-harness.js";

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: 96, queries: 24, isEachDifferent: true });
});
afterAll(() => place.remove());

test("changed texts end a training that is to mine them, refuse its resume, and put back let it go on", async () => {
  const wide = await writeCollection(join(place.folder, "wide"), { passages: 160, queries: 24, isEachDifferent: true });
  const data = source({ corpus: wide, qrels: join(wide, "qrels/train.tsv") });
  const mine = { data, topK: 30, negativesPerQuery: 4, sampling: "random" } as const;
  const experiment = refreshing(place, "edited", { everySteps: 6, switchAfterSteps: 3, mine });
  const corpus = join(wide, "corpus.jsonl");
  const before = await readFile(corpus, "utf8");
  let edit: Promise<void> | null = null;
  const trained = trainAndListen(experiment, (event) => {
    if (event.type !== "negativesSwitched") return;
    edit ??= writeFile(corpus, before.replaceAll('"text":"', '"text":"changed '));
  });
  await expect(trained).rejects.toMatchObject({
    code: "INTEGRITY",
    message: "train.refresh.mine.data is not what this run's negatives are mined from: its files changed.",
  });
  await expect(trainAndListen(experiment)).rejects.toMatchObject({
    code: "CONFIG",
    message: "train.refresh.mine.data is not what this run's checkpoints were trained with",
  });
  await writeFile(corpus, before);
  await trainAndListen(experiment);
  expect(await stepLines(place, "edited")).toHaveLength(STEPS);
  expect((await switchEntries(place, "edited")).map(({ atStep }) => atStep)).toEqual([9, 15]);
  expect(descendants("quarry_runtime")).toEqual([]);
});
