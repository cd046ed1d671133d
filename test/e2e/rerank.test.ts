/** An experiment with a rerank section: measured before and after, every pair scored once, whoever asks. */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeTinyModel } from "../fixtures/tiny-model.js";
import { openWorkplace, type Workplace } from "./harness.js";
import { askPeer } from "./peer.js";

let place: Workplace;
let cross: string;

beforeAll(async () => {
  place = await openWorkplace({ passages: 160, queries: 24 });
  cross = await place.crossEncoder();
});
afterAll(() => place.remove());

interface Options {
  readonly rerank?: string;
  readonly measures?: string;
}

/** Evaluates into runs/<name>; `rerank` is what stands inside the braces of crossEncoder(…, { … }). */
async function evaluate(name: string, { rerank, measures = '"nDCG@10", "R@5"' }: Options) {
  const stage =
    rerank === undefined ? "" : `rerank: crossEncoder(${JSON.stringify(cross)}, { ${rerank} dtype: "float32" }),`;
  await place.experiment(
    `
    name: ${JSON.stringify(name)},
    model: biEncoder(${JSON.stringify(place.model)}, { dtype: "float32" }),
    evaluate: {
      data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), topK: 20, measures: [${measures}],
    },
    ${stage}
    workers: { count: 1, threads: 1, unitSize: 16, batchSize: 8 },`,
    name,
  );
  const result = await place.quarry("evaluate", `${name}.ts`);
  expect(result.exitCode, result.stderr + result.stdout).toBe(0);
  return result;
}

interface Line {
  readonly query: string;
  readonly passage: string;
  readonly score: number;
}

async function ranked(name: string, step: string): Promise<Map<string, Line[]>> {
  const text = await readFile(join(place.folder, "runs", name, step, "run.trec"), "utf8");
  const lists = new Map<string, Line[]>();
  for (const line of text.trim().split("\n")) {
    const [query = "", , passage = "", , score] = line.split(" ");
    lists.set(query, [...(lists.get(query) ?? []), { query, passage, score: Number(score) }]);
  }
  return lists;
}

const json = async (name: string, file: string) =>
  JSON.parse(await readFile(join(place.folder, "runs", name, file), "utf8"));

/** Pairs that workers scored in each call of this run, in order. */
async function scoredPairs(name: string): Promise<number[]> {
  const text = await readFile(join(place.folder, "runs", name, "events.jsonl"), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ type, phase }) => type === "phaseFinished" && phase === "evaluate-base+rerank/pairs")
    .map(({ done }) => done);
}

/** How many different pairs of texts stand among the best of the first stage: equal ones are scored once. */
async function distinctPairs(name: string, depth: number): Promise<number> {
  const read = async (file: string) =>
    new Map(
      (await readFile(join(place.collection, `${file}.jsonl`), "utf8"))
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
        .map(({ _id, title = "", text }) => [_id, JSON.stringify([title, text])]),
    );
  const [queries, corpus] = [await read("queries"), await read("corpus")];
  const lines = [...(await ranked(name, "evaluate-base")).values()].flatMap((list) => list.slice(0, depth));
  return new Set(lines.map(({ query, passage }) => `${queries.get(query)} ${corpus.get(passage)}`)).size;
}

test("the best passages are ranked again by sentence-transformers' scores, the others stay behind them in order", async () => {
  const result = await evaluate("both", { rerank: "topK: 8," });
  const metrics = await json("both", "metrics.json");
  expect(Object.keys(metrics)).toEqual(["evaluate-base", "evaluate-base+rerank"]);
  expect(metrics["evaluate-base"]).not.toEqual(metrics["evaluate-base+rerank"]);
  expect(result.stdout).toMatch(/base +base\+rerank +gain/);
  const [before, after] = [await ranked("both", "evaluate-base"), await ranked("both", "evaluate-base+rerank")];
  expect(after.size).toBe(12);
  expect(await scoredPairs("both")).toEqual([await distinctPairs("both", 8)]);
  for (const [query, first] of before) {
    const again = after.get(query) as Line[];
    expect(again).toHaveLength(20);
    const ids = (lines: readonly Line[]): string[] => lines.map(({ passage }) => passage);
    expect(ids(again.slice(0, 8)).sort()).toEqual(ids(first.slice(0, 8)).sort());
    expect(ids(again.slice(8))).toEqual(ids(first.slice(8)));
    // Readers of run files sort by score: the order must follow from the scores and ids alone.
    const sorted = [...again].sort((one, two) => two.score - one.score || (one.passage < two.passage ? 1 : -1));
    expect(ids(sorted)).toEqual(ids(again));
  }
  const { queries } = await json("both", "evaluate-base+rerank/per-query.json");
  expect(Object.keys(queries)).toHaveLength(12);
  await compareWithReference([...after.values()].flatMap((lines) => lines.slice(0, 8)));
});

async function compareWithReference(lines: readonly Line[]): Promise<void> {
  const code = `
import json
from sentence_transformers import CrossEncoder
model, folder, pairs = given
read = lambda name: {row["_id"]: row for row in map(json.loads, open(f"{folder}/{name}.jsonl"))}
corpus, queries = read("corpus"), read("queries")
text = lambda row: (row["title"] + " " if row.get("title") else "") + row["text"]
scores = CrossEncoder(model, device="cpu").predict([(text(queries[q]), text(corpus[p])) for q, p in pairs])
answer = [float(score) for score in scores]
`;
  const pairs = lines.map(({ query, passage }) => [query, passage]);
  const expected = await askPeer<number[]>(code, [cross, place.collection, pairs]);
  for (const [at, { score }] of lines.entries()) expect(score).toBeCloseTo(expected[at] as number, 5);
}

test("a stage may be added to a finished evaluation, and a finished one returns at once", async () => {
  await evaluate("added", {});
  const before = await readFile(join(place.folder, "runs/added/evaluate-base/run.trec"));
  await evaluate("added", { rerank: "topK: 8," });
  expect(await readFile(join(place.folder, "runs/added/evaluate-base/run.trec"))).toEqual(before);
  expect(Object.keys(await json("added", "metrics.json"))).toEqual(["evaluate-base", "evaluate-base+rerank"]);
  // Scored in the test before, by an experiment of another name.
  expect(await scoredPairs("added")).toEqual([]);
  const untagged = (run: Map<string, Line[]>): unknown => [...run.values()];
  expect(untagged(await ranked("added", "evaluate-base+rerank"))).toEqual(
    untagged(await ranked("both", "evaluate-base+rerank")),
  );
  const again = await evaluate("added", { rerank: "topK: 8," });
  expect(again.stdout).toMatch(/base \| .*base\+rerank|base +base\+rerank/);
});

test("a deeper stage scores the missing pairs only; another activation is another model and scores all", async () => {
  await evaluate("deeper", { rerank: "topK: 12," });
  expect(await scoredPairs("deeper")).toEqual([(await distinctPairs("both", 12)) - (await distinctPairs("both", 8))]);
  await evaluate("logits", { rerank: 'topK: 8, activation: "identity",' });
  expect(await scoredPairs("logits")).toEqual([await distinctPairs("both", 8)]);
  const orders = async (name: string) =>
    [...(await ranked(name, "evaluate-base+rerank")).values()].map((lines) => lines.map(({ passage }) => passage));
  expect(await orders("logits")).toEqual(await orders("both"));
});

test("damage in the cache costs what it hit and nothing else", async () => {
  const cache = join(place.folder, "cache/pair-scores");
  const models = await readdir(cache);
  expect(models).toHaveLength(2);
  for (const model of models) {
    for (const shard of (await readdir(join(cache, model))).filter((name) => name.endsWith(".scores"))) {
      const bytes = await readFile(join(cache, model, shard));
      bytes[bytes.length - 2] = (bytes[bytes.length - 2] as number) ^ 0x10;
      await writeFile(join(cache, model, shard), bytes);
    }
  }
  await evaluate("mended", { rerank: "topK: 8," });
  const [scored = 0] = await scoredPairs("mended");
  expect(scored).toBeGreaterThan(0);
  expect(scored).toBeLessThan(await distinctPairs("both", 8));
  for (const [query, lines] of await ranked("mended", "evaluate-base+rerank")) {
    const expected = (await ranked("both", "evaluate-base+rerank")).get(query) as Line[];
    for (const [at, { score }] of lines.entries()) expect(score).toBeCloseTo(expected[at]?.score as number, 5);
  }
});

const asked = { GPT2LMHeadModel: "gpt2-like", T5ForConditionalGeneration: "t5" };

test.each(Object.entries(asked))("a %s ranks by what a template asks it", async (architecture, kind) => {
  const folder = await writeTinyModel(join(place.folder, kind), "--arch", kind);
  const config = join(folder, "config.json");
  const written = JSON.parse(await readFile(config, "utf8"));
  await writeFile(config, JSON.stringify({ ...written, architectures: [architecture] }));
  for (const file of ["modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"])
    await rm(join(folder, file), { force: true });
  const name = `asked-${kind}`;
  const encoder = cross;
  cross = folder;
  try {
    // Cut to fit: the tiny models take few tokens.
    const answers = kind === "t5" ? 'trueToken: "true", falseToken: "false"' : 'trueToken: "y", falseToken: "n"';
    await evaluate(name, { rerank: `topK: 8, template: "{passage}\\n{query}\\nRelevant:", ${answers},` });
  } finally {
    cross = encoder;
  }
  expect(await scoredPairs(name)).toEqual([await distinctPairs(name, 8)]);
  const heads = [...(await ranked(name, "evaluate-base+rerank")).values()].map((lines) => lines.slice(0, 8));
  const found = heads.flat().map(({ score }) => score);
  expect(found.every((score) => score > 0 && score < 1)).toBe(true);
  expect(new Set(found).size).toBeGreaterThan(20);
  const { contracts } = await json(name, "environment.json");
  expect(contracts["evaluate-base+rerank"]).toMatchObject({
    architecture,
    template: "{passage}\n{query}\nRelevant:",
    tokens: [expect.any(Number), expect.any(Number)],
  });
});

test("another stage in a folder that holds one is refused", async () => {
  const name = "both";
  await place.experiment(
    `
    name: "both", model: biEncoder(${JSON.stringify(place.model)}, { dtype: "float32" }),
    evaluate: {
      data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), topK: 20,
      measures: ["nDCG@10", "R@5"],
    },
    rerank: crossEncoder(${JSON.stringify(cross)}, { topK: 9, dtype: "float32" }),
    workers: { count: 1, threads: 1, unitSize: 16, batchSize: 8 },`,
    name,
  );
  const result = await place.quarry("evaluate", "both.ts");
  expect(result.exitCode).toBe(2);
  expect(result.stderr).toContain("rerank.topK: 8 → 9");
});

test("a bi-encoder in the place of a cross-encoder is told before anything is encoded for it", async () => {
  await rm(join(place.folder, "runs/wrong"), { recursive: true, force: true });
  await place.experiment(
    `
    name: "wrong", model: biEncoder(${JSON.stringify(place.model)}),
    evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), measures: ["nDCG@10"] },
    rerank: crossEncoder(${JSON.stringify(place.model)}), workers: { count: 1, threads: 1 },`,
    "wrong",
  );
  const result = await place.quarry("evaluate", "wrong.ts");
  expect(result.exitCode).toBe(2);
  expect(result.stderr).toContain("not a cross-encoder");
  expect(result.stdout).not.toContain("search passages");
  await place.experiment(
    `
    name: "wrong-mining", model: biEncoder(${JSON.stringify(place.model)}), workers: { count: 1, threads: 1 },
    mine: {
      data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }),
      rescore: { model: crossEncoder(${JSON.stringify(place.model)}) },
    },`,
    "wrong-mining",
  );
  const mined = await place.quarry("mine", "wrong-mining.ts");
  expect(mined.exitCode).toBe(2);
  expect(mined.stderr).toContain("not a cross-encoder");
  expect(mined.stdout).not.toMatch(/encode|search passages/);
});
