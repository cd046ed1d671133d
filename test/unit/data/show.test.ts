/** Showing a step: batches traced to the files, lines and judgements that they come from. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { showStepOf } from "../../../src/data/inspect/show.js";
import { planStep } from "../../../src/data/plan.js";
import { openTrainingSet } from "../../../src/data/views/open-training-set.js";
import type { MultiLevelConfig, SourceConfig, TrainingDataConfig } from "../../../src/experiment/schema.js";
import { type Collection, jsonLines, newCollection, qrels, sourceOf } from "./collection.js";
import { files, pairs, training } from "./inspected.js";

describe("show", () => {
  const lineOf = (collection: Collection, { file, line }: { file: string; line: number }): string =>
    readFileSync(file.startsWith("/") ? file : `${collection.dir}/${file}`, "utf8").split("\n")[line - 1] ?? "";

  test("gives a step's plan with the texts, and every place it names holds what it says", async () => {
    const collection = newCollection(files);
    const shown = await showStepOf(training(), collection.context, 1);
    const set = await openTrainingSet(training().train.data, collection.context);
    const groups = planStep(set, 1, 4);
    expect(shown).toMatchObject({ step: 1, seed: 42, stepsPerEpoch: 2, globalBatchSize: 4, passagesPerQuery: 3 });
    expect(shown.groups.map(({ place, epoch }) => [place, epoch])).toEqual([
      [4, 0],
      [5, 0],
      [6, 1],
      [7, 1],
    ]);
    expect(shown.groups.map(({ query, passages: own }) => [query.id, ...own.map(({ id }) => id)])).toEqual(
      groups.map((group) => [set.queryId(group.query), ...[...group.passages].map((row) => set.passageId(row))]),
    );
    set.close();
    for (const { query, passages: own } of shown.groups) {
      expect(JSON.parse(lineOf(collection, query.origin))).toEqual({ _id: query.id, text: query.text });
      for (const [at, { id, title, text, role, label, origin, judged }] of own.entries()) {
        expect(JSON.parse(lineOf(collection, origin))).toEqual({ _id: id, title, text });
        expect([role, label]).toEqual(at === 0 ? ["positive", 1] : ["negative", 0]);
        expect(judged?.source).toBe(at === 0 ? "train" : "train.data.negatives");
        const [judgedQuery, judgedPassage] = lineOf(collection, judged?.origin ?? { file: "", line: 0 }).split("\t");
        expect([judgedQuery, judgedPassage]).toEqual([query.id, id]);
      }
    }
  });

  test("names the judgement that counts, of the group's own part and side", async () => {
    const { context } = newCollection({
      ...files,
      "a.tsv": qrels([
        ["q0", "d0", 3],
        ["q1", "d1", 3],
      ]),
      "b.tsv": qrels([
        ["q1", "d2", 1],
        ["q0", "d0", 1],
        ["q1", "d1", 0],
      ]),
    });
    const source = (name: string, options: Partial<SourceConfig> = {}): SourceConfig =>
      sourceOf({ name, qrels: `${name}.tsv`, ...options });
    const graded = { kind: "multiLevel", merge: "last", selection: "most", tooFew: "fewer" } as const;
    const judgedOf = async (data: TrainingDataConfig): Promise<string[]> => {
      const { groups } = await showStepOf(
        { sources: [], searched: [], train: { data, globalBatchSize: 4 } },
        context,
        0,
      );
      const lines = groups.flatMap(({ query, passages: own }) =>
        own.flatMap(({ id, label, judged }) =>
          judged === null ? [] : [`${query.id} ${id} ${label}: ${judged.source}:${judged.origin.line}`],
        ),
      );
      return [...new Set(lines)].sort();
    };
    const alone = (name: string): MultiLevelConfig => ({ ...graded, sources: [source(name)], passagesPerQuery: 1 });
    const parts = [{ data: alone("a") }, { data: alone("b") }];
    expect(await judgedOf({ kind: "mix", batches: "mixed", parts })).toEqual([
      "q0 d0 1: b:3",
      "q0 d0 3: a:2",
      "q1 d1 3: a:3",
      "q1 d2 1: b:2",
    ]);
    const both = [source("a"), source("b")];
    const firstWins = { ...graded, sources: both, merge: "first", passagesPerQuery: 2 } as const;
    expect(await judgedOf(firstWins)).toEqual(["q1 d1 3: a:3", "q1 d2 1: b:2"]);
    const sources = [source("a", { minScore: 2 }), source("b", { minScore: 1 })];
    const combined = { kind: "combined", merge: "last", sources } as const;
    const { data } = pairs({
      negatives: undefined,
      negativesPerQuery: 0,
      positiveChoice: "first",
      positives: combined,
    });
    expect(await judgedOf(data)).toEqual(["q0 d0 1: b:3", "q1 d1 1: a:3"]);
  });

  test("of merged sources, names one whose group step drew the passage", async () => {
    const { context } = newCollection({
      ...files,
      "a.tsv": qrels(["d1", "d2"].map((id) => ["q0", id, 1])),
      "b.tsv": qrels([
        ["q0", "d1", 3],
        ["q0", "d2", 1],
      ]),
    });
    const sources = [sourceOf({ name: "a", qrels: "a.tsv" }), sourceOf({ name: "b", qrels: "b.tsv", groupTopK: 1 })];
    const data: MultiLevelConfig = {
      ...{ kind: "multiLevel", merge: "last", selection: "most", tooFew: "fewer" },
      ...{ sources, passagesPerQuery: 2 },
    };
    const inspected = { sources: [], searched: [], train: { data, globalBatchSize: 1 } };
    const { groups } = await showStepOf(inspected, context, 0);
    const judged = groups.flatMap(({ passages: own }) =>
      own.map(({ id, label, judged }) => [id, label, judged?.source, judged?.origin.line]),
    );
    expect(judged).toEqual([
      ["d1", 3, "b", 2],
      ["d2", 1, "a", 3],
    ]);
  });

  test("texts begin as they are written, with U+FEFF as well", async () => {
    const marked = (id: string): string => jsonLines([{ _id: id, title: "\ufefft", text: "\ufeffx\ufeff" }]);
    const { context } = newCollection({
      "corpus.jsonl": marked("d0"),
      "queries.jsonl": marked("q0"),
      "train.tsv": qrels([["q0", "d0", 1]]),
    });
    const source = sourceOf({ qrels: "train.tsv", prompts: { query: "\ufeffask: " } });
    const { groups } = await showStepOf(training(pairs({ positives: source, negativesPerQuery: 0 })), context, 0);
    const text = { title: "\ufefft", text: "\ufeffx\ufeff" };
    expect(groups[0]).toMatchObject({ query: { ...text, prompt: "\ufeffask: " }, passages: [text] });
  });

  test("marks paddings, and counts for how many queries a passage is masked", async () => {
    const collection = newCollection({
      ...files,
      "mined.tsv": qrels(Array.from({ length: 6 }, (_, at) => [`q${at}`, "d11", 1])),
    });
    const { groups } = await showStepOf(
      training(pairs({ negatives: sourceOf({ qrels: "mined.tsv" }) })),
      collection.context,
      0,
    );
    expect(groups.map(({ passages: own }) => own.map(({ role }) => role))).toEqual(
      groups.map(() => ["positive", "negative", "padding"]),
    );
    // One passage stands in all groups: it counts once.
    const masked = groups.map(({ passages: own }) => own[1]?.maskedFor);
    expect(masked).toEqual([0, 4, 4, 4]);
    expect(groups[0]?.passages[2]?.judged).toBeNull();
  });
});
