/** The table of the paper's experiments, which grows while they run. */
import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Result, Settings } from "../../../scripts/experiments/settings.js";
import { addResult, readResults, toDetails, toTable } from "../../../scripts/experiments/table.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-experiments-"));
});
afterAll(async () => rm(folder, { recursive: true }));

const result = (more: Partial<Result>): Result => ({
  collection: "nfcorpus",
  variant: "inBatch",
  seed: 1,
  nDCG: 0.32,
  recall: 0.3,
  seconds: 60,
  ...more,
});
const settings = { loss: "kl" } as Settings;

test("several seeds become a mean with its range, one seed a value, and a missing cell stays open", () => {
  const results = [
    result({ variant: "before", nDCG: 0.31 }),
    result({}),
    result({ seed: 2, nDCG: 0.34 }),
    result({ collection: "scifact", variant: "custom", nDCG: 0.65 }),
  ];
  expect(toTable(results, settings)).toMatchInlineSnapshot(`
    "| nDCG@10, mean (least – most of n seeds) | scifact | nfcorpus |
    | --- | --- | --- |
    | before training |  | 0.3100 |
    | in-batch negatives |  | 0.3300 (0.3200 – 0.3400, 2) |
    | with mined negatives |  |  |
    | with graded labels, loss \`kl\` | 0.6500 |  |"
  `);
});

test("every run has its line, in the order of the table", () => {
  const details = toDetails([result({ seed: 2 }), result({}), result({ variant: "before" })]);
  expect(details.split("\n").slice(2)).toEqual([
    "| nfcorpus | before training |  | 0.3200 | 0.3000 | 60 |",
    "| nfcorpus | in-batch negatives | 1 | 0.3200 | 0.3000 | 60 |",
    "| nfcorpus | in-batch negatives | 2 | 0.3200 | 0.3000 | 60 |",
  ]);
});

test("a kill in the middle of a line costs that line alone", async () => {
  const path = join(folder, "results.jsonl");
  expect(await readResults(path)).toEqual([]);
  await addResult(path, result({}));
  await appendFile(path, '\n{"collection":"nfcorpus","vari');
  expect(await readResults(path)).toEqual([result({})]);
  await addResult(path, result({ seed: 2 }));
  expect(await readResults(path)).toEqual([result({}), result({ seed: 2 })]);
  await writeFile(path, "");
  expect(await readResults(path)).toEqual([]);
});
