/** A look at a part of the corpus and of the queries: what is searched, what is told, what it would be in full. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, type Workplace } from "./harness.js";

let place: Workplace;
let look: Awaited<ReturnType<Workplace["quarry"]>>;

beforeAll(async () => {
  place = await openWorkplace();
  await place.experiment(`
    name: "look",
    model: biEncoder(${JSON.stringify(place.model)}),
    evaluate: {
      data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }),
      measures: ["nDCG@10", "Bpref"],
      subCorpus: { passages: 200 },
      sampleQueries: 12,
    },
    workers: { count: 1, threads: 1, unitSize: 64 },
  `);
  look = await place.quarry("run", "experiment.ts");
});
afterAll(() => place.remove());

const runDir = (...parts: string[]): string => join(place.folder, "runs/look", ...parts);

test("the part is searched and measured, and every figure says what it stands for", async () => {
  expect(look.stderr).toBe("");
  expect(look.exitCode).toBe(0);
  expect(look.stdout).toMatch(/model as it is, 200 of 480 passages: nDCG@10 0\.\d{4}, Bpref 0\.\d{4} \(12 queries\)/);
  expect(look.stdout).toMatch(
    /warning: evaluate-base: 200 of 480 passages were searched, .* about nDCG@10 0\.\d{4} \(0\.\d{4} to 0\.\d{4}\); Bpref without/,
  );
  expect(look.stdout).toMatch(
    /warning: evaluate-base: 12 of 24 judged queries were taken; 95 % intervals are nDCG@10 0/,
  );
  expect(look.stdout).toMatch(/\nnDCG@10, all passages \(estimated\) +0\.\d{4} \(0\.\d{4} to 0\.\d{4}\)\n/);
  const metrics = JSON.parse(await readFile(runDir("metrics.json"), "utf8"));
  expect(Object.keys(metrics)).toEqual(["evaluate-base", "evaluate-base/whole-corpus"]);
  const { "nDCG@10": estimated } = metrics["evaluate-base/whole-corpus"];
  expect(estimated.measured).toBeCloseTo(metrics["evaluate-base"]["nDCG@10"], 9);
  expect(estimated.estimate).toBeLessThanOrEqual(estimated.measured);
  const run = (await readFile(runDir("evaluate-base/run.trec"), "utf8")).trimEnd().split("\n");
  expect(new Set(run.map((line) => line.split(" ")[0])).size).toBe(12);
  const judged = (await readFile(runDir("evaluate-base/qrels.trec"), "utf8")).trimEnd().split("\n");
  expect(judged).toHaveLength(36);
});

test("a stage that ranks again looks at the same queries and passages, and its figures say so, too", async () => {
  await place.experiment(
    `
    name: "again",
    model: biEncoder(${JSON.stringify(place.model)}),
    evaluate: {
      data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }),
      topK: 20,
      measures: ["nDCG@10", "NumQ"],
      subCorpus: { passages: 200 },
      sampleQueries: 12,
    },
    rerank: crossEncoder(${JSON.stringify(await place.crossEncoder())}, { topK: 10 }),
    workers: { count: 1, threads: 1, unitSize: 64 },`,
    "again",
  );
  const again = await place.quarry("evaluate", "again.ts");
  expect(again.exitCode, again.stderr).toBe(0);
  const read = (file: string) => readFile(join(place.folder, "runs/again", file), "utf8");
  const metrics = JSON.parse(await read("metrics.json"));
  expect(metrics["evaluate-base+rerank"].NumQ).toBe(12);
  expect(await read("evaluate-base+rerank/qrels.trec")).toBe(await read("evaluate-base/qrels.trec"));
  const { "nDCG@10": estimated } = metrics["evaluate-base+rerank/whole-corpus"];
  expect(estimated.measured).toBeCloseTo(metrics["evaluate-base+rerank"]["nDCG@10"], 9);
  expect(again.stdout).toMatch(/model as it is, ranked again, 200 of 480 passages: nDCG@10 0\.\d{4}/);
  expect(again.stdout).toMatch(/warning: evaluate-base\+rerank: 12 of 24 judged queries were taken; 95 % intervals/);
  expect(again.stdout).toMatch(
    /evaluate-base\+rerank: 200 of 480 passages .*; all of them, about \d\d of each query ranked again, would give/,
  );
  expect(again.stdout).toMatch(/nDCG@10, all passages \(estimated\) +0\.\d{4} \(.*\) +0\.\d{4} \(/);
});

test("another part belongs into another run folder", async () => {
  const other = await place.quarry("run", "experiment.ts", "--evaluate.subCorpus.passages", "300");
  expect(other.exitCode).toBe(2);
  expect(other.stderr).toContain("evaluate.subCorpus.passages: 200 → 300");
});

test("the average of several data sets says that they were searched in part", async () => {
  const data = (name: string): string => `source({ corpus: "collection", qrels: "collection/qrels/${name}.tsv" })`;
  await place.experiment(
    `
    name: "several",
    model: biEncoder(${JSON.stringify(place.model)}),
    evaluate: {
      data: suite({ odd: ${data("test")}, even: ${data("train")} }),
      measures: ["nDCG@10"],
      subCorpus: { passages: 200 },
    },
    workers: { count: 1, threads: 1, unitSize: 64 },
    `,
    "several",
  );
  const { stdout, exitCode } = await place.quarry("run", "several.ts");
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/even, model as it is, \d+ of 480 passages: nDCG@10 0\.\d{4} /);
  expect(stdout).toMatch(/average, model as it is, parts of the passages: nDCG@10 0\.\d{4} /);
});
