/** Every script in examples/ does what its first lines say, here with a tiny model. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, ROOT, type Workplace } from "./harness.js";

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: 120, queries: 24 });
  process.env.SCIFACT = place.collection;
  process.env.MINED = join(place.folder, "runs/scifact-negatives/mine-base/negatives.tsv");
}, 60_000);
afterAll(async () => {
  delete process.env.SCIFACT;
  delete process.env.MINED;
  await place.remove();
});

/** Runs an example with the tiny model. One thread, for workers and for ranks, lets all be forked from one process. */
const quarry = (verb: string, name: string, ...options: readonly string[]) =>
  place.quarry(
    verb,
    example(name),
    ...cached(),
    "--model.checkpoint",
    place.model,
    "--workers.threads",
    "1",
    ...options,
  );
/** Beside the examples themselves nothing is to be left. */
const cached = (): string[] => ["--cacheDir", join(place.folder, "cache")];
const example = (name: string): string => join(ROOT, "examples", name);
const TINY = ["--train.args.maxSteps", "2", "--train.globalBatchSize", "4", "--train.threads", "1"];
/** The embedded collection has some thousand texts. */
const FEW = ["--evaluate.subCorpus.passages", "200", "--evaluate.sampleQueries", "20"];
const SHORT = ["--model.queryMaxLength", "16", "--model.passageMaxLength", "24"];

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
  const mined = await quarry("mine", "mine-negatives.ts");
  expect(mined.exitCode, mined.stderr).toBe(0);
  const result = await quarry("run", "scifact.ts", ...TINY);
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout).toMatch(/nDCG@10 +0\.\d{4} +0\.\d{4}/);
  const metrics = await readFile(join(place.folder, "runs/scifact-minilm/metrics.json"), "utf8");
  expect(Object.keys(JSON.parse(metrics))).toEqual(["evaluate-base", "evaluate-checkpoint-2"]);
}, 180_000);

test("refresh-negatives.ts learns from negatives that the model itself mined", async () => {
  const few = ["--train.args.maxSteps", "5", "--train.globalBatchSize", "4", "--train.threads", "1"];
  const soon = ["--train.refresh.everySteps", "2", "--train.refresh.workers.threads", "1"];
  const all = ["--train.refresh.mine.relativeMargin", "0"];
  const result = await quarry("train", "refresh-negatives.ts", ...few, ...soon, ...all);
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout).toMatch(
    /negatives 1: \d+ mined in .* with the model of step 2, used after step 4, 2 steps old then/,
  );
}, 180_000);

test("rerank.ts measures before and after", async () => {
  const options = ["--rerank.checkpoint", await place.crossEncoder(), "--evaluate.topK", "100", "--rerank.topK", "10"];
  const result = await quarry("evaluate", "rerank.ts", ...options);
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout).toMatch(/base +base\+rerank +gain/);
}, 180_000);

test("quickstart.ts does the main job on the embedded collection", async () => {
  const result = await quarry("run", "quickstart.ts", ...TINY, ...FEW, ...SHORT);
  expect(result.exitCode, result.stderr).toBe(0);
  for (const row of ["nDCG@10", "RR@10", "R@100", "passages/s", "steps/s"]) expect(result.stdout).toContain(row);
  expect(result.stdout).toContain(join(place.folder, "runs/quickstart"));
}, 240_000);

test("judgements.ts is checked, counted, shown and run", async () => {
  const file = example("judgements.ts");
  const check = await place.quarry("data", "check", file, ...cached());
  expect(check.exitCode, check.stdout + check.stderr).toBe(0);
  const stats = await place.quarry("data", "stats", file, ...cached());
  expect(stats.stdout).toContain("filter substantial");
  const shown = await place.quarry("data", "show", file, ...cached(), "--step", "3");
  expect(shown.stdout).toMatch(/corpus\.jsonl:\d+/);
  const result = await quarry("run", "judgements.ts", ...TINY, ...FEW, ...SHORT);
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
