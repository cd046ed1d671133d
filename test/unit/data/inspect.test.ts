/** Looking at an experiment's data: every fault at once, and exact counts. */
import { describe, expect, test } from "vitest";
import { checkSources } from "../../../src/data/inspect/check.js";
import { labelBins, summarise } from "../../../src/data/inspect/histogram.js";
import type { InspectedData } from "../../../src/data/inspect/inspected.js";
import { MEASURED_TEXTS, statsOfSources } from "../../../src/data/inspect/stats.js";
import { step } from "../../../src/experiment/function-step.js";
import type { SourceConfig } from "../../../src/experiment/schema.js";
import { jsonLines, newCollection, passages, qrels, queries, sourceOf } from "./collection.js";
import { files, pairs, positives, training } from "./inspected.js";

function searching(...sources: readonly SourceConfig[]): InspectedData {
  return {
    sources: sources.map((source, at) => [`part${at}.data`, source] as const),
    searched: sources.map((data, at) => ({ path: `part${at}.data`, data })),
    train: null,
  };
}

describe("check", () => {
  test("finds nothing in sound data and says what it opened", async () => {
    const { context } = newCollection(files);
    expect(await checkSources(training(), context)).toEqual({
      isSound: true,
      sources: [
        { options: ["train.data.positives"], name: "train", passages: 12, queries: 6, judgements: 6 },
        { options: ["train.data.negatives"], name: null, passages: 12, queries: 6, judgements: 18 },
      ],
      faults: [],
      problems: [],
      notes: [],
    });
  });

  test("tells all kinds of faults of all sources at once, each once, and where they come from", async () => {
    const broken = jsonLines([
      { _id: "d0", text: "one" },
      { _id: "d0", text: "again" },
      { _id: "d1", text: "" },
      { _id: "d2", text: "one" },
    ]);
    const { context } = newCollection({
      "corpus.jsonl": `${broken}no json\n`,
      "queries.jsonl": queries(3),
      "train.tsv": qrels([
        ["q0", "d0", 1],
        ["q1", "gone", 1],
        ["q2", "d1", 0],
      ]),
      "mined.tsv": qrels([
        ["q0", "d2", 1],
        ["q0", "d0", 1],
      ]),
    });
    const data = training(
      pairs({ positives: sourceOf({ qrels: "train.tsv" }), negatives: sourceOf({ qrels: "mined.tsv" }) }),
    );
    const report = await checkSources(
      { ...data, sources: [...data.sources, ["evaluate.data", sourceOf({ qrels: "train.tsv" })]] },
      context,
    );
    expect(report.isSound).toBe(false);
    expect(report.problems).toEqual([]);
    const told = report.faults.map(({ kind, count, policy, options }) => ({ kind, count, policy, options }));
    const everywhere = ["train.data.positives", "train.data.negatives", "evaluate.data"];
    expect(told).toEqual([
      { kind: "badLines", count: 1, policy: "error", options: everywhere },
      { kind: "duplicateIds", count: 1, policy: "error", options: everywhere },
      { kind: "emptyTexts", count: 1, policy: "warn", options: everywhere },
      { kind: "danglingIds", count: 1, policy: "error", options: ["train.data.positives", "evaluate.data"] },
      { kind: "contradictions", count: 1, policy: "warn", options: ["train.data"] },
      { kind: "duplicateTexts", count: 1, policy: "warn", options: ["train.data"] },
      { kind: "withoutPositives", count: 1, policy: "warn", options: ["train.data"] },
    ]);
    expect(report.faults[0]?.examples[0]?.place).toMatch(/corpus\.jsonl:5$/);
  });

  test("goes on behind a source that cannot be opened", async () => {
    const { context } = newCollection(files);
    const report = await checkSources(
      searching(sourceOf({ qrels: "no.tsv" }), sourceOf({ qrels: "train.tsv" })),
      context,
    );
    expect(report.isSound).toBe(false);
    expect(report.problems).toEqual([
      { option: "part0.data", message: expect.stringMatching(/no\.tsv: no such file/), hint: expect.any(String) },
    ]);
    expect(report.sources).toMatchObject([{ options: ["part1.data"], judgements: 6 }]);
  });

  test("tells what keeps a source from opening besides its bad lines, the second time as the first", async () => {
    const { context } = newCollection({ ...files, "corpus.jsonl": `${files["corpus.jsonl"]}no json\n` });
    const missing = searching(sourceOf({ qrels: "missing.tsv" }));
    const first = await checkSources(missing, context);
    expect(first.problems).toMatchObject([{ message: expect.stringMatching(/missing\.tsv: no such file/) }]);
    expect(first.faults).toMatchObject([{ kind: "badLines", count: 1, policy: "error" }]);
    expect(await checkSources(missing, context)).toEqual(first);
  });

  test("reports sets that come out empty", async () => {
    const { context } = newCollection(files);
    const data = training(pairs({ positives: sourceOf({ qrels: "train.tsv", minScore: 2 }) }));
    const report = await checkSources(
      { ...data, searched: searching(sourceOf({ qrels: "train.tsv", minScore: 5 })).searched },
      context,
    );
    expect(report.problems.map(({ option }) => option)).toEqual(["part0.data", "train.data"]);
    expect(report.problems.map(({ message }) => message)).toEqual([
      expect.stringContaining("no judgement is left after the filters"),
      expect.stringContaining("no query can form a group"),
    ]);
  });

  test("is sound where the experiment says to go on", async () => {
    const collection = newCollection({ ...files, "train.tsv": `${files["train.tsv"]}q0\tgone\t1\n` });
    const validation = {
      badLines: "warn",
      duplicateIds: "warn",
      danglingIds: "drop",
      emptyTexts: "warn",
      contradictions: "warn",
      duplicateTexts: "warn",
      withoutPositives: "warn",
    } as const;
    const report = await checkSources(training(), { ...collection.context, validation });
    expect(report.isSound).toBe(true);
    expect(report.faults).toMatchObject([{ kind: "danglingIds", policy: "drop", count: 1 }]);
  });
});

describe("check tells what only forming groups and measuring stop at", () => {
  const evaluating = (source: SourceConfig): InspectedData => ({
    sources: [["evaluate.data", source]],
    searched: [{ path: "evaluate.data", data: source }],
    train: null,
  });

  test("groups that tooFew refuses", async () => {
    const { context } = newCollection(files);
    const mapped = { ...positives, scoreTransform: { map: { 1: 2 } } };
    const data = training(pairs({ positives: mapped, negativesPerQuery: 9, tooFew: "error" }));
    const report = await checkSources(data, context);
    expect(report).toMatchObject({ isSound: false, notes: [], problems: [] });
    expect(report.faults).toMatchObject([
      {
        kind: "tooFew",
        count: 6,
        policy: "error",
        words: [expect.any(String), expect.stringContaining("fewer than 10")],
      },
    ]);
  });

  test('pairs that merge "error" refuses, whatever the policy for contradictions', async () => {
    const { context } = newCollection({ ...files, "other.tsv": qrels([["q0", "d0", 3]]) });
    const sources = [sourceOf({ qrels: "train.tsv" }), sourceOf({ qrels: "other.tsv" })];
    const data = { kind: "combined" as const, merge: "error" as const, sources };
    const report = await checkSources(
      {
        sources: sources.map((source, at) => [`evaluate.data.sources.${at}`, source] as const),
        searched: [{ path: "evaluate.data", data }],
        train: null,
      },
      context,
    );
    expect(report.isSound).toBe(false);
    expect(report.faults).toMatchObject([{ kind: "merge", count: 1, policy: "error" }]);
  });

  test("scores that are no levels, with their line, for measures only", async () => {
    const { context, dir } = newCollection(files);
    const source = sourceOf({ qrels: "mined.tsv" });
    const report = await checkSources(evaluating(source), context);
    expect(report).toMatchObject({ isSound: false, faults: [] });
    expect(report.problems).toEqual([
      {
        option: "evaluate.data",
        message: `${dir}/mined.tsv:8: the score 1.5 is no whole number, but measures need relevance levels`,
        hint: expect.stringContaining("scoreTransform"),
      },
    ]);
    const searched = { ...evaluating(source), searched: [{ path: "mine.data", data: source }] };
    expect((await checkSources(searched, context)).isSound).toBe(true);
    const rounded = await checkSources(evaluating({ ...source, scoreTransform: "round" }), context);
    expect(rounded.isSound).toBe(true);
  });

  test("a grade beyond what measures take, with its line", async () => {
    const { context, dir } = newCollection({ ...files, "high.tsv": "q0\td1\t1\nq0\td2\t10001\n" });
    const { problems } = await checkSources(evaluating(sourceOf({ qrels: "high.tsv" })), context);
    expect(problems.map(({ message }) => message)).toEqual([`${dir}/high.tsv:2: grades go up to 10000, saw 10001`]);
  });

  test("a map without a score that occurs, and a function that fails", async () => {
    const { context } = newCollection(files);
    const nameless = { map: { 0: 0 }, otherwise: undefined } as unknown as NonNullable<SourceConfig["scoreTransform"]>;
    const bad = step({ name: "bad", fn: () => Number.NaN });
    const thrower = step({
      name: "thrower",
      fn: (): number => {
        throw new Error("no way");
      },
    });
    for (const [scoreTransform, message] of [
      [nameless, /train\.tsv:2: scoreTransform\.map names no new score for 1 /],
      [bad, /scoreTransform "bad".* gave NaN/],
      [thrower, /scoreTransform "thrower".* failed for .*no way/],
    ] as const) {
      const source = sourceOf({ qrels: "train.tsv", scoreTransform });
      const report = await checkSources(evaluating(source), context);
      expect(report.problems).toMatchObject([{ option: "evaluate.data", message: expect.stringMatching(message) }]);
      const trained = await checkSources(training(pairs({ positives: source })), context);
      expect(trained.problems).toMatchObject([{ option: "train.data", message: expect.stringMatching(message) }]);
    }
    // Judgements that the view leaves out by itself need no new score.
    const graded = newCollection({ ...files, "train.tsv": `${files["train.tsv"]}q0\td3\t0\n` });
    const positive = sourceOf({ qrels: "train.tsv", scoreTransform: { map: { 1: 2 } } });
    expect((await checkSources(training(pairs({ positives: positive })), graded.context)).problems).toEqual([]);
  });

  test("but not queries beside a corpus that only adds its passages", async () => {
    const { context } = newCollection({
      ...files,
      "b/corpus.jsonl": passages(3, "e"),
      "b/queries.jsonl": "no json\n",
    });
    const sources = [sourceOf({ qrels: "train.tsv" }), sourceOf({ corpus: "b/corpus.jsonl" })];
    const data = { kind: "combined" as const, merge: "last" as const, sources };
    const placed = sources.map((source, at) => [`evaluate.data.sources.${at}`, source] as const);
    const inspected = { sources: placed, searched: [{ path: "evaluate.data", data }], train: null };
    expect((await checkSources(inspected, context)).isSound).toBe(true);
    expect((await statsOfSources(inspected, context)).sources[1]?.queries).toBeNull();
  });
});

describe("stats", () => {
  test("count texts, every step of the algebra, labels and groups", async () => {
    const { context } = newCollection(files);
    const { sources, training: groups } = await statsOfSources(training(), context);
    expect(sources).toHaveLength(2);
    expect(sources[0]).toMatchObject({
      options: ["train.data.positives"],
      name: "train",
      passages: { rowCount: 12, emptyCount: 0, measuredCount: 12, untitledShare: 4 / 12 },
      qrels: { steps: [{ step: "qrels", judgements: 6, queries: 6 }], labels: [{ from: 1, below: 1, count: 6 }] },
    });
    const steps = sources[1]?.qrels?.steps.map(({ step, judgements }) => `${step}: ${judgements}`);
    expect(steps).toEqual(["qrels: 18", "minScore 1: 14", "groupRandomK 2: 12"]);
    expect(sources[1]?.qrels?.perQuery).toMatchObject({ count: 6, mean: 2, least: 2, most: 2 });
    expect(groups).toMatchObject({
      groups: 6,
      passagesPerQuery: 3,
      smallGroups: 0,
      globalBatchSize: 4,
      stepsPerEpoch: 2,
    });
  });

  test("measure lengths in characters and words as a reader counts them", async () => {
    const { context } = newCollection({
      "corpus.jsonl": jsonLines([
        { _id: "a", text: "Zürich  ist\n schön" },
        { _id: "b", text: "\u{1f600}" },
        { _id: "c", text: "" },
      ]),
    });
    const { sources } = await statsOfSources(searching(sourceOf()), context);
    const { characters, words, emptyCount } = sources[0]?.passages ?? {};
    expect(emptyCount).toBe(1);
    expect(characters).toMatchObject({ least: 0, most: 18, mean: 19 / 3 });
    expect(words).toMatchObject({ least: 0, most: 3, mean: 4 / 3 });
  });

  test("measure evenly spaced texts of a large table, and say how many", async () => {
    const rows = MEASURED_TEXTS * 2;
    const corpus = Array.from(
      { length: rows },
      (_, row) => `{"_id":"${row}","text":"${"w ".repeat(1 + (row % 2))}"}\n`,
    );
    const { context } = newCollection({ "corpus.jsonl": corpus.join("") });
    const { sources } = await statsOfSources(searching(sourceOf()), context);
    expect(sources[0]?.passages).toMatchObject({ rowCount: rows, measuredCount: MEASURED_TEXTS, words: { most: 1 } });
  });
});

describe("bins", () => {
  test("hold every number once, whatever the numbers", () => {
    for (const numbers of [[0], [5, 5, 5], [0, 1], [1, 2, 3, 1000], Array.from({ length: 500 }, (_, at) => at * at)]) {
      const found = summarise(Int32Array.from(numbers));
      const { bins = [] } = found ?? {};
      expect(bins.reduce((sum, { count }) => sum + count, 0)).toBe(numbers.length);
      expect(bins.length).toBeLessThanOrEqual(14);
      for (const { from, below, count } of bins) {
        expect(numbers.filter((number) => number >= from && (below === null || number < below)).length).toBe(count);
      }
    }
    expect(summarise(new Int32Array(0))).toBeNull();
  });

  test("of few labels are the labels, of many are ranges", () => {
    expect(labelBins(Float32Array.of(2, 0, 2))).toEqual([
      { from: 0, below: 0, count: 1 },
      { from: 2, below: 2, count: 2 },
    ]);
    const many = labelBins(Float32Array.from({ length: 100 }, (_, at) => at / 100));
    expect(many[0]).toEqual({ from: 0, below: 0.1, count: 10 });
    expect(many.reduce((sum, { count }) => sum + count, 0)).toBe(100);
  });
});
