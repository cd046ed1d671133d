/** Every script in examples/ does what its first lines say, here with a tiny model. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, ROOT, type Workplace } from "./harness.js";

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: 120, queries: 24 });
}, 60_000);
afterAll(() => place.remove());

const example = (name: string): string => join(ROOT, "examples", name);
const TINY = ["--train.args.maxSteps", "2", "--train.globalBatchSize", "4"];

test("no example is left out of these tests", async () => {
  expect((await readdir(join(ROOT, "examples"))).filter((name) => name.endsWith(".ts")).sort()).toEqual([
    "compare-prompts.ts",
    "judgements.ts",
    "mine-negatives.ts",
    "quickstart.ts",
    "refresh-negatives.ts",
    "rerank.ts",
    "scifact.ts",
  ]);
});

test("scifact.ts trains with the negatives that mine-negatives.ts mined", async () => {
  process.env.SCIFACT = place.collection;
  try {
    const mined = await place.quarry("mine", example("mine-negatives.ts"), "--model.checkpoint", place.model);
    expect(mined.exitCode, mined.stderr).toBe(0);
    const runDir = join(place.folder, "runs/scifact-negatives");
    process.env.MINED = join(runDir, "mine-base/negatives.tsv");
    const result = await place.quarry("run", example("scifact.ts"), "--model.checkpoint", place.model, ...TINY);
    expect(result.exitCode, result.stderr).toBe(0);
    expect(result.stdout).toMatch(/nDCG@10 +0\.\d{4} +0\.\d{4}/);
    const metrics = await readFile(join(place.folder, "runs/scifact-minilm/metrics.json"), "utf8");
    expect(Object.keys(JSON.parse(metrics))).toEqual(["evaluate-base", "evaluate-checkpoint-2"]);
  } finally {
    delete process.env.SCIFACT;
    delete process.env.MINED;
  }
}, 180_000);

test("refresh-negatives.ts learns from negatives that the model itself mined", async () => {
  process.env.SCIFACT = place.collection;
  try {
    const few = ["--train.args.maxSteps", "5", "--train.globalBatchSize", "4", "--train.refresh.everySteps", "2"];
    const tiny = ["--model.checkpoint", place.model, "--train.refresh.mine.relativeMargin", "0", ...few];
    const result = await place.quarry("train", example("refresh-negatives.ts"), ...tiny);
    expect(result.exitCode, result.stderr).toBe(0);
    expect(result.stdout).toMatch(
      /negatives 1: \d+ mined in .* with the model of step 2, used after step 4, 2 steps old then/,
    );
  } finally {
    delete process.env.SCIFACT;
  }
}, 180_000);

test("rerank.ts measures before and after", async () => {
  process.env.SCIFACT = place.collection;
  try {
    const models = ["--model.checkpoint", place.model, "--rerank.checkpoint", await place.crossEncoder()];
    const result = await place.quarry("evaluate", example("rerank.ts"), ...models, "--evaluate.topK", "100");
    expect(result.exitCode, result.stderr).toBe(0);
    expect(result.stdout).toMatch(/base +base\+rerank +gain/);
  } finally {
    delete process.env.SCIFACT;
  }
}, 180_000);

test("quickstart.ts does the main job on the embedded collection", async () => {
  const result = await place.quarry("run", example("quickstart.ts"), "--model.checkpoint", place.model, ...TINY);
  expect(result.exitCode, result.stderr).toBe(0);
  for (const row of ["nDCG@10", "RR@10", "R@100", "passages/s", "steps/s"]) expect(result.stdout).toContain(row);
  expect(result.stdout).toContain(join(place.folder, "runs/quickstart"));
}, 240_000);

test("judgements.ts is checked, counted, shown and run", async () => {
  const file = example("judgements.ts");
  const check = await place.quarry("data", "check", file);
  expect(check.exitCode, check.stdout + check.stderr).toBe(0);
  const stats = await place.quarry("data", "stats", file);
  expect(stats.stdout).toContain("filter substantial");
  const shown = await place.quarry("data", "show", file, "--step", "3");
  expect(shown.stdout).toMatch(/corpus\.jsonl:\d+/);
  const result = await place.quarry("run", file, "--model.checkpoint", place.model, ...TINY);
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout).toContain("nDCG@10");
}, 240_000);

test("compare-prompts.ts calls the verbs itself and prints a table", async () => {
  const jiti = join(ROOT, "node_modules/.bin/jiti");
  const result = await execa(jiti, [example("compare-prompts.ts"), place.model, place.collection], {
    cwd: place.folder,
    reject: false,
    env: { HF_HUB_OFFLINE: "1", QUARRY_CACHE: join(place.folder, "cache") },
  });
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout).toMatch(/none +nDCG@10 0\.\d{3} {2}R@100 \d\.\d{3}\nquestion +nDCG@10/);
}, 120_000);
