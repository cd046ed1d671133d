/** A run from elsewhere in the place of a search: measured and ranked again like a search's own, and no model is asked. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, type Workplace } from "./harness.js";

let place: Workplace;
let cross: string;

/** Asking it for anything would fail: it is nowhere. */
const NOBODY = '"nobody/knows-this-model"';
const DATA = 'source({ corpus: "collection", qrels: "collection/qrels/test.tsv" })';

async function evaluate(name: string, model: string, options: string, rerank: string | null = "topK: 8") {
  const stage =
    rerank === null ? "" : `rerank: crossEncoder(${JSON.stringify(cross)}, { ${rerank}, dtype: "float32" }),`;
  await place.experiment(
    `
    name: ${JSON.stringify(name)},
    model: biEncoder(${model}),
    evaluate: { topK: 20, measures: ["nDCG@10", "R@5"], ${options} },
    ${stage}
    workers: { count: 1, threads: 1, unitSize: 16, batchSize: 8 },`,
    name,
  );
  return place.quarry("evaluate", `${name}.ts`);
}

async function evaluateOwn(rerank?: null): Promise<void> {
  const own = await evaluate("own", JSON.stringify(place.model), `data: ${DATA}`, rerank);
  expect(own.exitCode, own.stderr).toBe(0);
}

const file = (...parts: string[]): string => join(place.folder, "runs", ...parts);
const metrics = async (name: string) => JSON.parse(await readFile(file(name, "metrics.json"), "utf8"));
/** Without the tag, which is the experiment's name. */
const ranked = async (...parts: string[]): Promise<string[]> =>
  (await readFile(file(...parts, "run.trec"), "utf8"))
    .trimEnd()
    .split("\n")
    .map((line) => line.split(" ").slice(0, 5).join(" "));

beforeAll(async () => {
  place = await openWorkplace({ passages: 160, queries: 24 });
  cross = await place.crossEncoder();
  await evaluateOwn(null);
});
afterAll(() => place.remove());

test("the run of a search, handed in, has the values of that search, before and after it is ranked again", async () => {
  const lines = (await readFile(file("own/evaluate-base/run.trec"), "utf8")).trimEnd().split("\n");
  // By score, whatever the order and the rank column say.
  const shuffled = lines.reverse().map((line) => line.replace(/ \d+ (\S+ \S+)$/, " 0 $1"));
  await writeFile(join(place.folder, "given.run.gz"), gzipSync(`${shuffled.join("\n")}\n`));
  const result = await evaluate("given", NOBODY, `data: ${DATA}, run: "given.run.gz"`);
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stderr).toBe("");
  expect(result.stdout).toMatch(/run +run\+rerank +gain/);
  expect(result.stdout).toContain("the given run: nDCG@10");
  expect(result.stdout).toContain("score pairs: started");
  await evaluateOwn();
  const [own, given] = [await metrics("own"), await metrics("given")];
  expect(given).toEqual({ "evaluate-run": own["evaluate-base"], "evaluate-run+rerank": own["evaluate-base+rerank"] });
  expect(await ranked("given/evaluate-run")).toEqual(await ranked("own/evaluate-base"));
  expect(await ranked("given/evaluate-run+rerank")).toEqual(await ranked("own/evaluate-base+rerank"));
  const again = await evaluate("given", NOBODY, `data: ${DATA}, run: "given.run.gz"`);
  expect(again.stdout).toMatch(/run +run\+rerank +gain/);
  const journal = await readFile(file("given/journal.jsonl"), "utf8");
  expect(journal.match(/stepDone/g), "done once").toHaveLength(2);
});

test("another run in the same file is measured anew; what it leaves out is told, and its depth is the evaluation's", async () => {
  const lines = (await readFile(file("own/evaluate-base/run.trec"), "utf8")).trimEnd().split("\n");
  const [first = ""] = lines[0]?.split(" ") ?? [];
  const rest = lines.filter((line) => !line.startsWith(`${first} `));
  await writeFile(join(place.folder, "given.run.gz"), gzipSync(`${rest.join("\n")}\n`));
  const result = await evaluate("given", NOBODY, `data: ${DATA}, run: "given.run.gz"`);
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout).toContain("evaluate-run was done with other data or options");
  expect(result.stdout).toContain("1 of 12 queries is not ranked in the run evaluate.run");
  // Its data is the same: nothing to warn of.
  expect(result.stdout).not.toContain("do not compare");
  expect((await metrics("given"))["evaluate-run"]).not.toEqual((await metrics("own"))["evaluate-base"]);

  const shallow = `data: ${DATA}, run: "given.run.gz", topK: 10, sampleQueries: 5`;
  const cut = await evaluate("cut", NOBODY, shallow, "topK: 4");
  expect(cut.exitCode, cut.stderr).toBe(0);
  const kept = await ranked("cut/evaluate-run");
  expect(kept.length).toBeGreaterThan(0);
  expect(kept.length).toBeLessThanOrEqual(50);
  expect(await ranked("own/evaluate-base")).toEqual(expect.arrayContaining(kept));
});

test("a suite has a run for each of its data sets", async () => {
  const lines = await readFile(file("own/evaluate-base/run.trec"));
  await writeFile(join(place.folder, "one.run"), lines);
  const suite = `data: suite({ one: { data: ${DATA}, run: "one.run" }, two: { data: ${DATA}, run: "one.run" } })`;
  const result = await evaluate("several", NOBODY, suite);
  expect(result.exitCode, result.stderr).toBe(0);
  const found = await metrics("several");
  const { "evaluate-base": values } = await metrics("own");
  expect(found["evaluate-run"]).toEqual({ one: values, two: values, average: values });
  expect(await ranked("several/evaluate-run+rerank/two")).toEqual(await ranked("own/evaluate-base+rerank"));
});

test("a run that names a passage nobody knows, or that is not there, is told before anything is loaded", async () => {
  const lines = await readFile(file("own/evaluate-base/run.trec"), "utf8");
  await writeFile(join(place.folder, "foreign.run"), lines.replace(/ p\d+ /, " doc-of-another-corpus "));
  const foreign = await evaluate("foreign", NOBODY, `data: ${DATA}, run: "foreign.run"`);
  expect(foreign.exitCode).toBe(3);
  expect(foreign.stderr).toContain("doc-of-another-corpus");
  const nowhere = await evaluate("nowhere", NOBODY, `data: ${DATA}, run: "nowhere.run"`);
  expect(nowhere.exitCode).toBe(2);
  expect(nowhere.stderr).toMatch(/evaluate\.run: there is no "nowhere\.run"/);
});

test("the doctor prices no encoding where a run takes the place of the search", async () => {
  await place.experiment(
    `name: "priced", model: biEncoder(${JSON.stringify(place.model)}), evaluate: { data: ${DATA}, run: "one.run" },
    workers: { count: 1, threads: 1 },`,
    "priced",
  );
  const result = await place.quarry("doctor", "priced.ts", "--json");
  expect(result.exitCode, result.stderr + result.stdout).toBe(0);
  expect(result.stdout).not.toMatch(/encoding|vectors of/);
});
