/** Every script in examples/ does what its first lines say, here with a tiny model. */
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, ROOT, type Workplace } from "./harness.js";

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: 120, queries: 24 });
  // All from the beginning: with another environment workers are forked from another process.
  Object.assign(process.env, {
    SCIFACT: place.collection,
    MINED: join(place.folder, "runs/scifact-negatives/mine-base/negatives.tsv"),
    BEIR: beir(),
    MSMARCO: msmarco(),
  });
});
afterAll(async () => {
  for (const name of ["SCIFACT", "MINED", "BEIR", "MSMARCO"]) delete process.env[name];
  await place.remove();
});

const beir = (): string => join(place.folder, "beir");
const msmarco = (): string => join(place.folder, "msmarco");

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
/** Runs an example that calls the verbs itself. */
const script = (name: string, env: Record<string, string>, ...args: readonly string[]) =>
  execa(join(ROOT, "node_modules/.bin/jiti"), [example(name), ...args], {
    cwd: place.folder,
    reject: false,
    env: { HF_HUB_OFFLINE: "1", QUARRY_CACHE: join(place.folder, "cache"), MODEL: place.model, ...env },
  });
/** Beside the examples themselves nothing is to be left. */
const cached = (): string[] => ["--cacheDir", join(place.folder, "cache")];
const example = (name: string): string => join(ROOT, "examples", name);
const TINY = ["--train.args.maxSteps", "2", "--train.globalBatchSize", "4", "--train.threads", "1"];

/** The collection in MS MARCO's own form: columns without header. */
async function writeMsmarco(folder: string): Promise<void> {
  await mkdir(folder);
  const read = async (name: string): Promise<string[]> =>
    (await readFile(join(place.collection, name), "utf8")).trimEnd().split("\n");
  const rows = async (name: string): Promise<string> =>
    (await read(name))
      .map((line) => JSON.parse(line))
      .map(({ _id, text }) => `${_id}\t${text}\n`)
      .join("");
  await writeFile(join(folder, "collection.tsv"), await rows("corpus.jsonl"));
  for (const [split, name] of [
    ["train", "train"],
    ["test", "dev.small"],
  ]) {
    const judged = (await read(`qrels/${split}.tsv`)).slice(1).map((line) => line.split("\t"));
    const lines = judged.map(([query, passage, score]) => `${query}\t0\t${passage}\t${score}\n`);
    await writeFile(join(folder, `qrels.${name}.tsv`), lines.join(""));
    await writeFile(join(folder, `queries.${name}.tsv`), await rows("queries.jsonl"));
  }
}

/** The embedded collection has some thousand texts. */
const FEW = ["--evaluate.subCorpus.passages", "200", "--evaluate.sampleQueries", "20"];
const SHORT = ["--model.queryMaxLength", "16", "--model.passageMaxLength", "24"];

test("no example is left out of these tests", async () => {
  expect((await readdir(join(ROOT, "examples"))).filter((name) => name.endsWith(".ts")).sort()).toEqual([
    "bm25.ts",
    "compare-prompts.ts",
    "judgements.ts",
    "mine-negatives.ts",
    "msmarco.ts",
    "quickstart.ts",
    "refresh-negatives.ts",
    "rerank.ts",
    "scifact.ts",
    "seeds.ts",
    "suite.ts",
    "sweep.ts",
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
});

test("refresh-negatives.ts learns from negatives that the model itself mined", async () => {
  const few = ["--train.args.maxSteps", "5", "--train.globalBatchSize", "4", "--train.threads", "1"];
  const soon = ["--train.refresh.everySteps", "2", "--train.refresh.workers.threads", "1"];
  const all = ["--train.refresh.mine.relativeMargin", "0"];
  const result = await quarry("train", "refresh-negatives.ts", ...few, ...soon, ...all);
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout).toMatch(
    /negatives 1: \d+ mined in .* with the model of step 2, used after step 4, 2 steps old then/,
  );
});

test("rerank.ts measures before and after; bm25.ts ranks a run file just so, mines from one and compares", async () => {
  const cross = await place.crossEncoder();
  const options = ["--rerank.checkpoint", cross, "--evaluate.topK", "100", "--rerank.topK", "100"];
  const result = await quarry("evaluate", "rerank.ts", ...options);
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout).toMatch(/base +base\+rerank +gain/);

  const run = (name: string): string => join(place.folder, "runs", name);
  const judged = (await readFile(join(place.collection, "qrels/train.tsv"), "utf8")).trimEnd().split("\n").slice(1);
  const queries = [...new Set(judged.map((line) => line.split("\t")[0]))];
  const lines = queries.flatMap((query) =>
    Array.from({ length: 20 }, (_, rank) => `${query} Q0 p${rank * 5} ${rank + 1} ${20 - rank} bm25\n`),
  );
  await writeFile(join(place.folder, "train.run"), lines.join(""));
  const found = await script("bm25.ts", {
    BM25_TRAIN: "train.run",
    BM25_TEST: run("scifact-reranked/evaluate-base/run.trec"),
    CROSS_ENCODER: cross,
  });
  expect(found.exitCode, found.stderr).toBe(0);
  expect(found.stdout).toMatch(/^negatives .*negatives\.tsv\nBM25 .* ranked again /);
  const negatives = (await readFile(run("bm25-negatives/mine-base/negatives.tsv"), "utf8")).trimEnd().split("\n");
  expect(new Set(negatives.slice(1).map((line) => line.split("\t")[0]))).toEqual(new Set(queries));
  const ranked = async (path: string): Promise<string[][]> =>
    (await readFile(run(path), "utf8"))
      .trimEnd()
      .split("\n")
      .map((line) => line.split(" ").slice(0, 5));
  expect(await ranked("bm25-reranked/evaluate-run+rerank/run.trec")).toEqual(
    await ranked("scifact-reranked/evaluate-base+rerank/run.trec"),
  );
});

test("suite.ts evaluates every data set of a folder in one table", async () => {
  for (const name of ["nfcorpus", "scifact", "no-test-split"])
    await cp(place.collection, join(beir(), name), { recursive: true });
  await rm(join(beir(), "no-test-split/qrels/test.tsv"));
  const result = await quarry("evaluate", "suite.ts");
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout).toMatch(/\n +nDCG@10 +P@10 +R@100\n.*\nnfcorpus .*\nscifact .*\naverage /);
});

test("msmarco.ts mines, then trains with these negatives on two ranks, as it is written for GPUs, in one command", async () => {
  await writeMsmarco(msmarco());
  const options = ["--model.passageMaxLength", "64", "--workers.batchSize", "16", "--mine.relativeMargin", "0"];
  const tiny = ["--train.globalBatchSize", "8", "--train.miniBatchSize", "2", "--train.args.maxSteps", "2"];
  const wide = ["--train.ranks", "2", "--train.threads", "1", "--train.args.gradientCheckpointing"];
  const all = [...options, ...tiny, ...wide];
  // What mining does not write is missed at once.
  const other = await quarry("run", "msmarco.ts", ...all, "--mine.output", "triples");
  expect(other.exitCode).toBe(2);
  expect(other.stderr).toMatch(/train\.data\.negatives\.qrels: there is no ".*negatives\.tsv"/);
  const result = await quarry("run", "msmarco.ts", ...all);
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout).toContain("negatives.tsv");
  expect(result.stdout).toMatch(/RR@10 +0\.\d{4}\nnDCG@10/);
});

test("quickstart.ts does the main job on the embedded collection", async () => {
  const result = await quarry("run", "quickstart.ts", ...TINY, ...FEW, ...SHORT);
  expect(result.exitCode, result.stderr).toBe(0);
  for (const row of ["nDCG@10", "RR@10", "R@100", "passages/s", "steps/s"]) expect(result.stdout).toContain(row);
  expect(result.stdout).toContain(join(place.folder, "runs/quickstart"));
});

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
});

test("seeds.ts prints mean and spread", async () => {
  const { exitCode, stdout, stderr } = await script("seeds.ts", { STEPS: "1" });
  expect(exitCode, stderr).toBe(0);
  expect(stdout).toMatch(/\nnDCG@10 +0\.\d{4} ± 0\.\d{4}( +0\.\d{4}){3}\nR@100 /);
});

test("sweep.ts keeps the model that is best on dev and measures it on test", async () => {
  const folder = join(place.folder, "with-dev");
  await cp(place.collection, folder, { recursive: true });
  await cp(join(folder, "qrels/test.tsv"), join(folder, "qrels/dev.tsv"));
  const { exitCode, stdout, stderr } = await script("sweep.ts", { STEPS: "1", NFCORPUS: folder });
  expect(exitCode, stderr).toBe(0);
  const tried = [...stdout.matchAll(/^(sweep-\S+): nDCG@10 (\S+) on dev$/gm)];
  expect(tried).toHaveLength(4);
  const best = tried.reduce((one, other) => (Number(other[2]) > Number(one[2]) ? other : one));
  // Dev and test are the same here.
  expect(stdout).toContain(`\nmodels/${best[1]}: nDCG@10 ${best[2]} on test`);
});

test("compare-prompts.ts calls the verbs itself and prints a table", async () => {
  const result = await script("compare-prompts.ts", {}, place.model, place.collection);
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout).toMatch(/none +nDCG@10 0\.\d{3} {2}R@100 \d\.\d{3}\nquestion +nDCG@10/);
});
