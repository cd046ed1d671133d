/** Several data sets in one evaluation: a folder each, one table, resumed set by set, compared afterwards. */
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, type Workplace } from "./harness.js";

let place: Workplace;
let first: Awaited<ReturnType<Workplace["quarry"]>>;

const body = (name: string, data: string): string => `
  name: "${name}",
  model: biEncoder(${JSON.stringify(place.model)}),
  evaluate: { data: ${data}, measures: ["ndcg@10", "recall@100"] },
  workers: { count: 1, threads: 1, unitSize: 64 },
`;
const test1 = `source({ corpus: "collection", qrels: "collection/qrels/test.tsv" })`;
const two = `suite({
  odd: ${test1},
  even: { data: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }), measures: ["nDCG@10", "P(rel=2)@5"] },
})`;

beforeAll(async () => {
  place = await openWorkplace();
  await place.experiment(body("both", two));
  first = await place.quarry("run", "experiment.ts");
});
afterAll(() => place.remove());

const runDir = (...parts: string[]): string => join(place.folder, "runs/both", ...parts);
const json = async (path: string) => JSON.parse(await readFile(path, "utf8"));

test("the table has a row for each data set and one for their average", async () => {
  expect(first.stderr).toBe("");
  expect(first.exitCode).toBe(0);
  expect(first.stdout).toMatch(
    /\n +nDCG@10 +R@100 +P\(rel=2\)@5\n.*\nodd +0\.\d{4} +[01]\.\d{4} +-\neven +0\.\d{4} +- +0\.\d{4}\naverage +0\.\d{4} +- +-\n/,
  );
  expect(first.stdout).toMatch(/odd, model as it is: nDCG@10 0\.\d{4}, R@100 [01]\.\d{4} \(24 queries\)/);
  const { "evaluate-base": found } = await json(runDir("metrics.json"));
  expect(Object.keys(found)).toEqual(["odd", "even", "average"]);
  expect(found.average).toEqual({ "nDCG@10": (found.odd["nDCG@10"] + found.even["nDCG@10"]) / 2 });
  for (const name of ["odd", "even"]) {
    expect((await json(runDir("evaluate-base", name, "per-query.json"))).mean).toEqual(found[name]);
    for (const file of ["run.trec", "qrels.trec"]) expect(existsSync(runDir("evaluate-base", name, file))).toBe(true);
  }
});

test("events tell the values of each set from the average, also where it was ranked again", async () => {
  const cross = JSON.stringify(await place.crossEncoder());
  await place.experiment(`${body("again", two)} rerank: crossEncoder(${cross}, { topK: 2 }),`, "again");
  expect((await place.quarry("evaluate", "again.ts")).exitCode).toBe(0);
  const lines = (await readFile(join(place.folder, "runs/again/events.jsonl"), "utf8")).trimEnd().split("\n");
  const events = lines.map((line) => JSON.parse(line));
  const labels = events.flatMap(({ type, label }) => (type === "phaseStarted" ? [label] : []));
  const work = ["prepare data", "search passages", "score pairs"];
  expect(labels, "which set is at work").toEqual(
    expect.arrayContaining(["odd", "even"].flatMap((set) => work.map((piece) => `${set}, ${piece}`))),
  );
  expect(labels.every((label) => /^(odd|even), /.test(label))).toBe(true);
  const phases = events.flatMap(({ type, phase }) => (type === "metrics" ? [phase] : []));
  const sets = ["/odd", "/even", ""];
  expect(phases).toEqual([
    ...sets.map((set) => `evaluate-base${set}`),
    ...sets.map((set) => `evaluate-base+rerank${set}`),
  ]);
});

test("a data set of a suite gives what it gives alone", async () => {
  await place.experiment(body("alone", test1), "alone");
  expect((await place.quarry("run", "alone.ts")).exitCode).toBe(0);
  const own = await readFile(join(place.folder, "runs/alone/evaluate-base/run.trec"), "utf8");
  const inSuite = await readFile(runDir("evaluate-base/odd/run.trec"), "utf8");
  expect(inSuite.replaceAll(" both\n", " alone\n")).toBe(own);
});

test("what was done before is not done again, set by set", async () => {
  const journal = (await readFile(runDir("journal.jsonl"), "utf8")).trimEnd().split("\n");
  expect(journal.at(-1)).toContain("evaluate-base/even");
  // As if it had been killed between the two.
  await writeFile(runDir("journal.jsonl"), `${journal.slice(0, -1).join("\n")}\n`);
  await utimes(runDir("evaluate-base/odd/run.trec"), 1, 1);
  await rm(runDir("evaluate-base/even"), { recursive: true });
  const before = await json(runDir("metrics.json"));
  const again = await place.quarry("run", "experiment.ts");
  expect(again.exitCode).toBe(0);
  expect((await stat(runDir("evaluate-base/odd/run.trec"))).mtimeMs, "not written again").toBe(1_000);
  expect(existsSync(runDir("evaluate-base/even/run.trec"))).toBe(true);
  expect(await json(runDir("metrics.json"))).toEqual(before);
});

test("folders of its data sets can be measured and compared", async () => {
  const measured = await place.quarry("measure", "runs/both/evaluate-base/even", "--measures", "nDCG@10", "--json");
  expect(JSON.parse(measured.stdout).mean).toEqual({
    "nDCG@10": (await json(runDir("metrics.json")))["evaluate-base"].even["nDCG@10"],
  });
  const again = ["runs/again/evaluate-base", "runs/again/evaluate-base+rerank"] as const;
  const compared = await place.quarry("compare", ...again, "--measures", "nDCG@10", "--json");
  const metrics = await json(join(place.folder, "runs/again/metrics.json"));
  const { sets, averages } = JSON.parse(compared.stdout);
  expect(sets.map(({ set }: { set: string }) => set)).toEqual(["even", "odd"]);
  expect(averages[0].baselineMean).toBeCloseTo(metrics["evaluate-base"].average["nDCG@10"], 12);
  expect(averages[0].runMean).toBeCloseTo(metrics["evaluate-base+rerank"].average["nDCG@10"], 12);
  const several = await place.quarry("compare", "runs/both", "runs/again");
  expect(several.stderr).toContain(`Name one of ${again.join(", ")}.`);
  const whole = await place.quarry("measure", "runs/both");
  expect(whole.stderr).toContain("runs/both/evaluate-base/even");
});

test("data check looks at every data set", async () => {
  const { stdout, exitCode } = await place.quarry("data", "check", "experiment.ts");
  expect(exitCode).toBe(0);
  expect(stdout).toContain("evaluate.data.sets.1.data");
});

test("a query that is a passage of its corpus finds the others, one more in its own place", async () => {
  const folder = join(place.folder, "arguana");
  const corpus = (await readFile(join(place.collection, "corpus.jsonl"), "utf8")).trimEnd().split("\n");
  await mkdir(join(folder, "qrels"), { recursive: true });
  await writeFile(join(folder, "corpus.jsonl"), corpus.join("\n"));
  await writeFile(join(folder, "queries.jsonl"), corpus.slice(0, 5).join("\n"));
  const judged = [0, 1, 2, 3, 4].map((row) => `p${row}\tp${row + 16}\t1`);
  await writeFile(join(folder, "qrels/test.tsv"), ["query-id\tcorpus-id\tscore", ...judged].join("\n"));
  const arguana = `source({ corpus: "arguana", qrels: "arguana/qrels/test.tsv" })`;
  const rankings = async (...args: readonly string[]): Promise<string[][]> => {
    const name = `arguana${args.length}`;
    await place.experiment(body(name, arguana), name);
    const { exitCode, stderr } = await place.quarry("evaluate", `${name}.ts`, "--evaluate.measures", "nDCG@5", ...args);
    expect(exitCode, stderr).toBe(0);
    const run = await readFile(join(place.folder, "runs", name, "evaluate-base/run.trec"), "utf8");
    return run
      .trimEnd()
      .split("\n")
      .map((line) => line.split(" "));
  };
  const whole = await rankings("--evaluate.topK", "8");
  expect(whole.filter(([query, , passage]) => query === passage)).toHaveLength(5);
  const others = await rankings("--evaluate.topK", "7", "--evaluate.excludeSameId");
  const left = whole.filter(([query, , passage]) => query !== passage);
  const scored = (lines: readonly string[][]) => lines.map(([query, , passage, , score]) => [query, passage, score]);
  expect(scored(others)).toEqual(scored(left));
});
