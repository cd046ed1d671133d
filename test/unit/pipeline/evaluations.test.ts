/** What a run folder keeps of the evaluations of a training, and what a resume makes of it. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, source } from "../../../src/experiment/define.js";
import { RunContext } from "../../../src/pipeline/context.js";
import { Evaluations } from "../../../src/pipeline/evaluating/record.js";
import { EventStream, type QuarryEvent } from "../../../src/report/events.js";
import { openRunDir, type RunDir } from "../../../src/rundir/directory.js";

const texts = { corpus: "corpus.jsonl", queries: "queries.jsonl" };
const experiment = defineExperiment({
  name: "a",
  model: biEncoder("m/m"),
  train: {
    data: binary({ positives: source({ ...texts, qrels: "train.tsv" }) }),
    evaluate: {
      data: source({ ...texts, qrels: "dev.tsv" }),
      measures: ["nDCG@10"],
      saveBestLimit: 2,
      earlyStoppingPatience: 2,
    },
  },
});
const options = experiment.config.train?.evaluate as NonNullable<
  NonNullable<(typeof experiment.config)["train"]>["evaluate"]
>;

let folder: string;
let runDir: RunDir;
let seen: QuarryEvent[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-evaluations-"));
  runDir = await openRunDir({ path: folder, config: {} });
});
afterEach(async () => {
  await runDir.close();
  await rm(folder, { recursive: true, force: true });
});

/** The record as a process finds it that opens the run folder now. */
function opened(data = "d"): Evaluations {
  const events = new EventStream();
  seen = [];
  events.subscribe((event) => seen.push(event));
  return new Evaluations(new RunContext(experiment, runDir, events, new AbortController().signal), options, data);
}
const found = (value: number) => ({ values: { "nDCG@10": value }, queryCount: 9, seconds: 1 });

test("a resume knows every checkpoint that was dealt with, and comes to the same verdict", async () => {
  const first = opened();
  await first.add(10, found(0.5));
  await first.miss(20, "its workers died", null);
  await first.add(30, found(0.4));
  const second = opened();
  expect([10, 20, 30, 40].map((step) => second.has(step))).toEqual([true, true, true, false]);
  expect(second.verdict).toEqual({ best: { step: 10, value: 0.5 }, stoppedAt: null });
  expect(second.best).toEqual([10, 30]);
  await second.add(40, found(0.4));
  expect(opened().verdict).toEqual({ best: { step: 10, value: 0.5 }, stoppedAt: 40 });
});

test("the curve and the best checkpoint lie in the run folder for people", async () => {
  const record = opened();
  await record.add(10, found(0.5));
  await record.miss(20, "its workers died", "See the logs.");
  expect(await readFile(join(folder, "train/evaluations.jsonl"), "utf8")).toBe(
    '{"step":10,"values":{"nDCG@10":0.5},"queryCount":9,"seconds":1}\n' +
      '{"step":20,"values":null,"queryCount":null,"seconds":null,"reason":"its workers died"}\n',
  );
  expect(await runDir.readJson("train/best.json")).toEqual({
    ...{ step: 10, value: 0.5, checkpoint: "train/checkpoint-10", measure: "nDCG@10" },
    ...{ greaterIsBetter: true, stoppedAt: null },
  });
  expect(seen).toMatchObject([
    { type: "evaluation", step: 10, measure: "nDCG@10", best: { step: 10, value: 0.5 } },
    {
      type: "warning",
      message: "The checkpoint of step 20 has no measures: its workers died",
      hint: "See the logs.",
    },
  ]);
});

test("a failed evaluation is final for a resume, also before any succeeds", async () => {
  await opened().miss(10, "its workers died", null);
  const resumed = opened();
  expect(resumed.has(10)).toBe(true);
  await resumed.add(20, found(0.5));
  expect(opened().verdict.best).toEqual({ step: 20, value: 0.5 });
});

test("where nothing could be evaluated to the end the same command tries again, and says why it failed", async () => {
  const record = opened();
  await record.miss(10, "a text cannot be encoded", null);
  expect(await record.failure()).toMatchObject({
    message: "No checkpoint could be evaluated; step 10: a text cannot be encoded",
  });
  const again = opened();
  expect(again.has(10)).toBe(false);
  await again.miss(10, "its workers died", null);
  expect(opened().has(10)).toBe(true);
});

test("a resume without the checkpoint that evaluations chose is refused, unless training comes to it again", async () => {
  const record = opened();
  await record.add(10, found(0.5));
  expect(() => opened().refuseLost([20])).toThrow(
    expect.objectContaining({
      code: "INTEGRITY",
      message: `the training in ${folder} has lost train/checkpoint-10, which its evaluations chose`,
    }),
  );
  expect(() => opened().refuseLost([10])).not.toThrow();
  expect(() => opened().refuseLost([5])).not.toThrow();
  await record.add(20, found(0.4));
  await record.add(30, found(0.3));
  // Its patience is at an end: nothing is trained any more.
  expect(record.verdict.stoppedAt).toBe(30);
  expect(() => opened().refuseLost([5])).toThrow("lost train/checkpoint-10 and train/checkpoint-30");
  expect(() => opened().refuseLost([10, 30])).not.toThrow();
});

test("values of other data are not compared", async () => {
  await opened().add(10, found(0.5));
  expect(() => opened("other")).toThrow(expect.objectContaining({ code: "CONFIG" }));
});
