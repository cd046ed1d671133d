/** Negatives are mined from texts and rankings of their own: files that change in place are noticed, on a resume and in between. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openTrainingSet } from "../../../../src/data/index.js";
import { biEncoder, binary, defineExperiment, mix, source } from "../../../../src/experiment/define.js";
import type { TrainConfig } from "../../../../src/experiment/schema.js";
import { RunContext } from "../../../../src/pipeline/context.js";
import { prepare } from "../../../../src/pipeline/prepare.js";
import { seal } from "../../../../src/pipeline/refresh/mined.js";
import { fingerprintsOf, minedSources } from "../../../../src/pipeline/refresh/sources.js";
import { Versions } from "../../../../src/pipeline/refresh/versions.js";
import { trainStep } from "../../../../src/pipeline/train.js";
import { EventStream } from "../../../../src/report/events.js";
import { openRunDir } from "../../../../src/rundir/directory.js";
import { passages, qrels, queries } from "../../data/collection.js";

const rows = [0, 1, 2, 3];
const run = (score: number): string => rows.map((row) => `q${row} Q0 d${10 + row} 1 ${score} other\n`).join("");

/** A training with a passage of its own to mine from, and a ranking. */
async function training() {
  const dir = await mkdtemp(join(tmpdir(), "quarry-mined-from-"));
  const write = (name: string, text: string): Promise<void> => writeFile(join(dir, name), text);
  await write("corpus.jsonl", passages(20));
  await write("wide.jsonl", passages(30));
  await write("queries.jsonl", queries(4));
  await write("train.tsv", qrels(rows.map((row) => [`q${row}`, `d${row}`, 1] as const)));
  await write("bm25.run", run(1));
  const texts = { queries: join(dir, "queries.jsonl"), qrels: join(dir, "train.tsv") };
  const experiment = defineExperiment({
    name: "x",
    model: biEncoder("m"),
    train: {
      data: binary({ positives: source({ ...texts, corpus: join(dir, "corpus.jsonl") }), negativesPerQuery: 1 }),
      refresh: {
        everySteps: 4,
        mine: {
          data: source({ ...texts, corpus: join(dir, "wide.jsonl") }),
          retrievers: [{ name: "bm25", run: join(dir, "bm25.run") }],
          ...{ topK: 5, negativesPerQuery: 1 },
        },
      },
      globalBatchSize: 4,
      args: { maxSteps: 12, saveSteps: 4 },
    },
    cacheDir: join(dir, "cache"),
  });
  const runDir = await openRunDir({ path: join(dir, "run"), config: {} });
  onTestFinished(async () => {
    await runDir.close();
    await rm(dir, { recursive: true, force: true });
  });
  const context = new RunContext(experiment, runDir, new EventStream(), new AbortController().signal);
  const train = experiment.config.train as TrainConfig;
  const minedFrom = await fingerprintsOf(minedSources(train), (data) => prepare(context, "train/refresh", data));
  return { dir, write, runDir, context, train, minedFrom };
}

const edited = passages(30).replace("text of d10", "another text");

test.each([
  ["train.refresh.mine.data", "wide.jsonl", edited],
  ["train.refresh.mine.retrievers.0.run", "bm25.run", run(2)],
])("a resume with another %s is refused as one with other training data", async (option, file, text) => {
  const { write, runDir, context, train, minedFrom } = await training();
  expect(Object.keys(minedFrom)).toEqual(["train.refresh.mine.data", "train.refresh.mine.retrievers.0.run"]);
  await runDir.journal.append({ type: "trainBegun", mined: minedFrom });
  await write(file, text);
  await expect(trainStep(context, train)).rejects.toMatchObject({
    code: "CONFIG",
    message: `${option} is not what this run's checkpoints were trained with`,
  });
});

test("negatives are neither read with other texts than they were mined from, nor mined from others", async () => {
  const { dir, write, runDir, context, train, minedFrom } = await training();
  const dataContext = { ...context.dataContext(), refreshed: [0] };
  const given = await openTrainingSet(train.data, dataContext);
  const folder = runDir.file("train/negatives");
  const place = { resolve: context, context: dataContext, folder };
  const opened = (from = minedFrom): Versions => new Versions(place, train, given, () => [], from);
  const versions = opened();
  const facts = { version: 1, fromStep: 4, checkpoint: "checkpoint-4", key: versions.mined.key, seconds: 1 };
  const files = [{ part: 0, path: "part-0/negatives.tsv", lines: 4 }];
  await mkdir(join(folder, "1/part-0"), { recursive: true });
  await write(
    "run/train/negatives/1/part-0/negatives.tsv",
    qrels(rows.map((row) => [`q${row}`, `d${10 + row}`, 0] as const)),
  );
  const mined = await seal(join(folder, "1"), facts, files);
  const negatives = (await versions.open(1, mined)).batches.groups(0).map(({ passages: [, row] }) => row);
  expect(negatives).toHaveLength(4);
  await versions.close();

  await write("bm25.run", run(2));
  await expect(opened().refuseOtherSources()).rejects.toMatchObject({
    code: "INTEGRITY",
    message: "train.refresh.mine.retrievers.0.run is not what this run's negatives are mined from: its files changed.",
  });
  // What is mined already does not need the ranking any more.
  const withoutRun = opened();
  await rm(join(dir, "bm25.run"));
  await withoutRun.open(1, mined);
  await withoutRun.close();

  await write("wide.jsonl", edited);
  await expect(opened().open(1, mined)).rejects.toMatchObject({
    code: "INTEGRITY",
    message: "train.refresh.mine.data is not what this run's negatives are mined from: its files changed.",
  });
  const others = { ...minedFrom, "train.refresh.mine.data": "other" };
  expect(await opened(others).mined.find(1)).toBeNull();
  // A run that noted nothing is read as it is.
  const unnoted = opened({});
  await unnoted.open(1, mined);
  await unnoted.close();
  given.close();
});

test("a ranking that several parts of a mix are mined with stands for the texts of each", async () => {
  const { context, train } = await training();
  const { data: _data, ...mine } = (train.refresh as NonNullable<TrainConfig["refresh"]>).mine;
  const part = train.data as Extract<TrainConfig["data"], { kind: "binary" }>;
  const data = mix({ parts: [{ data: part }, { data: part }] }) as unknown as TrainConfig["data"];
  const twice = { ...train, data, refresh: { ...train.refresh, mine } } as TrainConfig;
  const found = await fingerprintsOf(minedSources(twice), (each) => prepare(context, "train/refresh", each));
  const [[path, fingerprint]] = Object.entries(found) as [[string, string]];
  expect(path).toBe("train.refresh.mine.retrievers.0.run");
  expect(fingerprint.split(" ")).toHaveLength(2);
});
