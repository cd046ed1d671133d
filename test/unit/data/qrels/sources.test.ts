/** Files and sources of judgements together: repeated pairs, subsets of queries, counts of steps, sources that disagree. */
import { describe, expect, test } from "vitest";
import type { Finding } from "../../../../src/data/findings.js";
import { DEFAULT_VALIDATION } from "../../../../src/data/findings.js";
import { BATCH_IDS } from "../../../../src/data/qrels/bulk-ids.js";
import { openSource, openSources, prepareSource } from "../../../../src/data/source.js";
import type { DataContext, Judgements } from "../../../../src/data/types.js";
import { openTrainingSet } from "../../../../src/data/views/open-training-set.js";
import { step, type Triplet } from "../../../../src/experiment/function-step.js";
import type { MergeRule, SourceConfig } from "../../../../src/experiment/schema.js";
import { jsonLines, newCollection, passages, queries, sourceOf } from "../collection.js";
import { binary } from "../training-sets.js";

const passageCount = 9;
const texts = { "corpus.jsonl": passages(passageCount), "queries.jsonl": queries(5) };
const pairs = ({ rows, scores }: Judgements): [number, number][] =>
  Array.from(rows, (row, at) => [row, scores[at] as number]);

async function open(files: Record<string, string>, options: Partial<SourceConfig>, more: Partial<DataContext> = {}) {
  const { context, dir, warnings } = newCollection({ ...texts, ...files });
  const source = await openSource(sourceOf(options), { ...context, ...more });
  if (source.qrels === null) throw new Error("no qrels");
  return { qrels: source.qrels, dir, warnings, context };
}

describe("a pair that is judged again", () => {
  test("counts with its last score, at its first place, from the line that counts", async () => {
    const lines = "q0\td1\t1\nq0\td2\t1\nq0\td1\t3\nq1\td1\t2\nq0\td3\t0\n";
    const { qrels, dir, warnings } = await open({ "qrels.tsv": lines }, { qrels: "qrels.tsv" });
    expect(pairs(qrels.annotated(0))).toEqual([
      [1, 3],
      [2, 1],
      [3, 0],
    ]);
    expect(qrels.origin(0, 1)).toEqual({ file: `${dir}/qrels.tsv`, line: 3 });
    expect(warnings).toEqual([
      expect.stringContaining(
        "1 line judges a pair with another score than an earlier line of the same file: qrels.tsv:3",
      ),
    ]);
  });

  test("with the same score changes nothing and is worth no warning, as in files of triples", async () => {
    const lines = "q0\td1\t1\nq0\td2\t0\nq0\td1\t1\nq0\td3\t0\nq0\td1\t1\n";
    const { qrels, warnings } = await open({ "qrels.tsv": lines }, { qrels: "qrels.tsv" });
    expect(pairs(qrels.annotated(0)).map(([row]) => row)).toEqual([1, 2, 3]);
    expect(qrels.origin(0, 1)?.line).toBe(1);
    expect(warnings).toEqual([]);
  });

  test("is counted exactly, also across files, where it is what several files are for", async () => {
    const one = Array.from({ length: 30 }, (_, at) => `q${at % 5}\td${at % 9}\t${at}\n`).join("");
    const files = { "one.tsv": one, "two.tsv": one.replaceAll(/\t(\d+)\n/g, "\t-$1\n") };
    const { qrels, warnings } = await open(files, { qrels: ["one.tsv", "two.tsv"] });
    expect(qrels.parts.stored.content).toMatchObject({ judgementCount: 30, repeatedCount: 0, overriddenCount: 29 });
    expect(warnings).toEqual([]);
    const twice = await open({ "qrels.tsv": one + one.replaceAll(/\t(\d+)\n/g, "\t-$1\n") }, { qrels: "qrels.tsv" });
    expect(twice.qrels.parts.stored.content).toMatchObject({ judgementCount: 30, repeatedCount: 29 });
    expect(twice.qrels.parts.stored.content.repeatedExamples.map(({ line }) => line)).toEqual([
      32, 33, 34, 35, 36, 37, 38, 39, 40, 41,
    ]);
  });
});

test("more judgements than one batch of look-ups holds are all read, and unknown ids counted exactly, the first ten named", async () => {
  const count = BATCH_IDS + 5000;
  const lines: string[] = [];
  for (let at = 0; at < count; at += 1) {
    const passage = at % 1000 === 999 ? `x${at}` : `d${(at * 7) % 9}`;
    lines.push(`${at % 40_000 === 39_998 ? "nobody" : `q${at % 5}`}\t${passage}\t${at % 2}\n`);
  }
  const found: Finding[] = [];
  const { qrels, dir } = await open(
    { "qrels.tsv": lines.join("") },
    { qrels: "qrels.tsv" },
    {
      validation: { ...DEFAULT_VALIDATION, danglingIds: "drop" },
      onFinding: (finding) => found.push(finding),
    },
  );
  const strangers = lines.flatMap((line, at) =>
    (line.match(/x\d+|nobody/g) ?? []).map((id) => ({
      place: `${dir}/qrels.tsv:${at + 1}`,
      detail: `unknown ${id === "nobody" ? "query" : "passage"} id "${id}"`,
    })),
  );
  expect(found).toMatchObject([{ kind: "danglingIds", count: strangers.length, examples: strangers.slice(0, 10) }]);
  const last = new Map<string, string>();
  for (const line of lines) {
    const [query = "", passage = "", score = ""] = line.trimEnd().split("\t");
    if (query !== "nobody" && passage.startsWith("d")) last.set(`${query} ${passage}`, score);
  }
  for (let query = 0; query < 5; query += 1) {
    const judged = pairs(qrels.annotated(query));
    expect(judged).toHaveLength(9);
    for (const [row, score] of judged) expect(`${score}`).toBe(last.get(`q${query} d${row}`));
  }
});

describe("querySubset", () => {
  const lines = "q0\td1\t1\nq1\td2\t1\nq3\td3\t1\n";

  test("keeps the judgements of the named queries, from several files, with ids named twice", async () => {
    const files = { "qrels.tsv": lines, "a.txt": "q3\nq3\n", "b.jsonl": jsonLines([{ _id: "q0" }]) };
    const { qrels } = await open(files, { qrels: "qrels.tsv", querySubset: ["a.txt", "b.jsonl"] });
    expect([...qrels.queryRows]).toEqual([0, 3]);
    expect([qrels.kept(1).rows.length, qrels.annotated(1).rows.length]).toEqual([0, 1]);
  });

  test("counts ids that the queries do not have, and stops at them unless told otherwise", async () => {
    const files = { "qrels.tsv": lines, "a.txt": "q3\nq77\nq0\nq78\n" };
    const options = { qrels: "qrels.tsv", querySubset: "a.txt" };
    await expect(open(files, options)).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringMatching(
        /a\.txt: 2 unknown query ids:\n {2}\S+a\.txt:2: unknown query id "q77"\n {2}\S+a\.txt:4: /,
      ),
    });
    const found: Finding[] = [];
    const { qrels } = await open(files, options, {
      validation: { ...DEFAULT_VALIDATION, danglingIds: "drop" },
      onFinding: (finding) => found.push(finding),
    });
    expect([...qrels.queryRows]).toEqual([0, 3]);
    expect(found.map(({ kind, count }) => [kind, count])).toEqual([["danglingIds", 2]]);
  });

  test("is read once: another option of the algebra builds nothing", async () => {
    const files = { "qrels.tsv": lines, "a.txt": "q3\n" };
    const { context } = await open(files, { qrels: "qrels.tsv", querySubset: "a.txt" });
    const progress: string[] = [];
    const again = { ...context, onProgress: ({ label }: { label: string }) => progress.push(label) };
    await openSource(sourceOf({ qrels: "qrels.tsv", querySubset: "a.txt", minScore: 1, groupRandomK: 2 }), again);
    expect(progress).toEqual([]);
  });
});

test("steps counts what each step leaves", async () => {
  const lines = "q0\td1\t1\nq0\td2\t2\nq0\td3\t3\nq1\td1\t1\nq1\td4\t5\nq2\td5\t0\nq3\td6\t2\n";
  const { qrels } = await open(
    { "qrels.tsv": lines, "ids.txt": "q0\nq1\nq2\n" },
    {
      qrels: "qrels.tsv",
      querySubset: "ids.txt",
      minScore: 1,
      maxScore: 5,
      filter: step({ name: "not-d2", fn: ({ passageId }: Triplet) => passageId !== "d2" }),
      groupTopK: 1,
      scoreTransform: { map: { 1: 0, 3: 1 } },
    },
  );
  expect(qrels.steps().map(({ step: name, judgements, queries: left }) => [name, judgements, left])).toEqual([
    ["qrels", 7, 4],
    ["querySubset", 6, 3],
    ["minScore 1", 5, 2],
    ["maxScore 5", 4, 2],
    ["filter not-d2", 3, 2],
    ["groupTopK 1", 2, 2],
    ['scoreTransform {"1":0,"3":1}', 2, 2],
  ]);
});

describe("sources that judge the same pair", () => {
  const files = {
    ...texts,
    "a.tsv": "q0\td1\t1\nq0\td2\t4\nq1\td1\t1\n",
    "b.tsv": "q0\td2\t3\nq0\td3\t0\nq0\td1\t1\n",
  };
  const opened = (merge: MergeRule, context: DataContext) =>
    openSources(
      { kind: "combined", merge, sources: [sourceOf({ qrels: "a.tsv" }), sourceOf({ qrels: "b.tsv" })] },
      context,
    );

  test.each<[MergeRule, number, string]>([
    ["last", 3, "b.tsv:1"],
    ["first", 4, "a.tsv:2"],
    ["max", 4, "a.tsv:2"],
  ])("under the rule %s, origin names the line that counts", async (merge, score, place) => {
    const { context, dir } = newCollection(files);
    const { qrels } = await opened(merge, context);
    expect(pairs(qrels?.judgements(0, 0) as Judgements)).toEqual([
      [1, 1],
      [2, score],
      [3, 0],
    ]);
    const origin = qrels?.origin(0, 2);
    expect(`${origin?.file}:${origin?.line}`).toBe(`${dir}/${place}`);
  });

  test("and differ are refused under the rule error before anything starts, with both places", async () => {
    const { context, dir } = newCollection(files);
    await expect(opened("error", context)).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringContaining(
        `1 pair has different scores in two sources:\n  ${dir}/a.tsv:2: query "q0", passage "d2" has the score 4 here and 3 in ${dir}/b.tsv:1`,
      ),
      hint: expect.stringContaining("merge:"),
    });
  });

  test("and differ are only counted in a check", async () => {
    const { context } = newCollection(files);
    const found: Finding[] = [];
    const check = { ...context, isCheck: true, onFinding: (finding: Finding) => found.push(finding) };
    const { qrels } = await opened("error", check);
    expect(found.map(({ count, words }) => [count, words[0]])).toEqual([
      [1, "pair has different scores in two sources"],
    ]);
    expect(qrels?.judgements(0, 0).rows.length).toBe(3);
  });
});

describe("sources with several tables of queries", () => {
  const other = (texts: readonly string[]): string => jsonLines(texts.map((text, row) => ({ _id: `q${row}`, text })));
  const files = {
    ...texts,
    "b/corpus.jsonl": passages(3, "e"),
    "b.tsv": "q0\te1\t1\n",
    "a.tsv": "q0\td1\t1\n",
  };
  const combined = (...sources: SourceConfig[]) => ({ kind: "combined" as const, merge: "last" as const, sources });

  test("are refused where one id has several texts, with both places, the first ten and the count", async () => {
    const { context, dir } = newCollection({
      ...files,
      "queries.jsonl": queries(14),
      "b/queries.jsonl": other(Array.from({ length: 14 }, (_, row) => (row < 2 ? `what is ${row}?` : "another"))),
    });
    const data = combined(sourceOf({ qrels: "a.tsv" }), sourceOf({ corpus: "b/corpus.jsonl", qrels: "b.tsv" }));
    const thrown: unknown = await prepareSource(data, context).catch((error: unknown) => error);
    expect(thrown).toMatchObject({ code: "DATA", hint: expect.stringContaining("ids of their own") });
    const lines = (thrown as Error).message.split("\n");
    expect(lines[0]).toContain("12 queries have different texts under one id; the first 10:");
    expect(lines[1]).toBe(`  ${dir}/b/queries.jsonl:3: "q2" has another text in ${dir}/queries.jsonl:3`);
    expect(lines).toHaveLength(11);
    const negatives = sourceOf({ corpus: "b/corpus.jsonl", qrels: "b.tsv" });
    const pair = binary({ positives: sourceOf({ qrels: "a.tsv" }), negatives, negativesPerQuery: 1 });
    await expect(openTrainingSet(pair, context)).rejects.toMatchObject({ code: "DATA", message: lines.join("\n") });
  });

  test("are one where the texts agree, whatever their order", async () => {
    const { context } = newCollection({
      ...files,
      "b/queries.jsonl": queries(6).trim().split("\n").reverse().join("\n"),
    });
    const data = combined(sourceOf({ qrels: "a.tsv" }), sourceOf({ corpus: "b/corpus.jsonl", qrels: "b.tsv" }));
    const prepared = await prepareSource(data, context);
    expect([...(prepared.qrels?.queryRows ?? [])].map((row) => prepared.queries.text(row))).toEqual(["what is 0?"]);
    const asked = [...prepared.encodableQueries].map((row) => prepared.queries.id(row));
    expect(asked, "each is asked, mined for and encoded once").toEqual(["q0", "q1", "q2", "q3", "q4", "q5"]);
  });

  test("are those of its subset where a source has no judgements, and it goes by the subset's content", async () => {
    const empty = jsonLines([{ _id: "q6", text: "" }]);
    const { context } = newCollection({
      ...files,
      "queries.jsonl": queries(6) + empty,
      "some.txt": "q4\nq1\nq6\n",
      "other.txt": "q2\n",
    });
    const ask = async (options: Partial<SourceConfig>, emptyTexts: "warn" | "drop" = "warn") => {
      const validation = { ...DEFAULT_VALIDATION, emptyTexts };
      const source = await prepareSource(sourceOf(options), { ...context, validation });
      source.close();
      return { rows: [...source.encodableQueries], fingerprint: source.fingerprint };
    };
    const some = await ask({ querySubset: "some.txt" });
    expect(some.rows).toEqual([1, 4, 6]);
    expect((await ask({ querySubset: "some.txt" }, "drop")).rows).toEqual([1, 4]);
    expect((await ask({ querySubset: "other.txt" })).fingerprint).not.toBe(some.fingerprint);
    expect((await ask({ querySubset: ["other.txt", "some.txt"] })).rows).toEqual([1, 2, 4, 6]);
    await expect(ask({ querySubset: "a.tsv" })).resolves.toMatchObject({ rows: [0] });
    // With judgements the subset says which of these count; others are still asked by a search.
    expect((await ask({ qrels: "a.tsv", querySubset: "a.tsv" })).rows).toHaveLength(7);
  });

  test("are asked where one source asks them, whatever the subset of another leaves out", async () => {
    const same = queries(5).trim().split("\n").reverse().join("\n");
    const { context } = newCollection({ ...files, "b/queries.jsonl": same, "one.txt": "q1\n", "two.txt": "q2\nq4\n" });
    const ask = async (...sources: SourceConfig[]) => {
      const { queries: all, encodableQueries } = await prepareSource(combined(...sources), context);
      return [...encodableQueries].map((row) => all.id(row)).sort();
    };
    const judged = sourceOf({ qrels: "a.tsv" });
    const [one, two] = [sourceOf({ querySubset: "one.txt" }), sourceOf({ querySubset: "two.txt" })];
    const beside = { corpus: "b/corpus.jsonl", queries: "b/queries.jsonl" };
    const named = { queries: "queries.jsonl" };
    const all = ["q0", "q1", "q2", "q3", "q4"];
    expect(await ask(judged, { ...one, ...named })).toEqual(all);
    expect(await ask({ ...one, ...named }, judged)).toEqual(all);
    expect(await ask({ ...one, ...beside }, judged)).toEqual(all);
    expect(await ask({ ...one, ...named }, { ...two, ...beside })).toEqual(["q1", "q2", "q4"]);
    expect(await ask({ ...two, ...beside }, { ...one, ...named })).toEqual(["q1", "q2", "q4"]);
  });

  test("are refused a subset where the source has none", async () => {
    const { context } = newCollection({ "c/corpus.jsonl": passages(3, "e"), "one.txt": "q1\n", ...files });
    const bare = sourceOf({ corpus: "c/corpus.jsonl", querySubset: "one.txt" });
    const words = /c\/corpus\.jsonl: querySubset chooses among queries, but this source has none/;
    await expect(prepareSource(bare, context)).rejects.toMatchObject({ code: "CONFIG", message: words });
    const pool = sourceOf({ querySubset: "one.txt", name: "pool" });
    const thrown = { code: "CONFIG", message: expect.stringMatching(/^pool: querySubset chooses/) };
    await expect(prepareSource(combined(sourceOf({ qrels: "a.tsv" }), pool), context)).rejects.toMatchObject(thrown);
  });

  test("are refused where one query is asked with two prompts, also from one file", async () => {
    const { context, dir } = newCollection({ ...files, "c.tsv": "q1\td1\t1\n", "b/queries.jsonl": queries(2) });
    const prompts = { query: "Q: " };
    const one = combined(sourceOf({ qrels: "a.tsv" }), sourceOf({ qrels: "c.tsv", prompts }));
    const words = /query "q0" is asked with different prompts or templates by two sources/;
    await expect(prepareSource(one, context)).rejects.toMatchObject({ code: "CONFIG", message: words });
    const other = sourceOf({ corpus: "b/corpus.jsonl", qrels: "b.tsv", prompts });
    const two = combined(sourceOf({ qrels: "a.tsv" }), other);
    const message = expect.stringContaining(`${dir}/b/queries.jsonl: query "q0"`);
    await expect(prepareSource(two, context)).rejects.toMatchObject({ code: "CONFIG", message });
  });

  test("take none from beside a corpus that only adds its passages, but those that it names", async () => {
    const { context } = newCollection({ ...files, "b/queries.jsonl": other(["of nobody", "either"]) });
    const pool = sourceOf({ corpus: "b/corpus.jsonl" });
    const judged = sourceOf({ qrels: "a.tsv" });
    const prepared = await prepareSource(combined(pool, judged), context);
    expect([prepared.passages.rowCount, prepared.queries.text(0)]).toEqual([3 + passageCount, "what is 0?"]);
    const named = combined({ ...pool, queries: "b/queries.jsonl" }, judged);
    await expect(prepareSource(named, context)).rejects.toMatchObject({ code: "DATA" });
    expect((await prepareSource(pool, context)).queries.text(0)).toBe("of nobody");
    expect((await prepareSource(combined(pool), context)).queries.text(0)).toBe("of nobody");
  });
});

test("one corpus under two passage styles is refused where it is searched, and two corpora to training", async () => {
  const { context } = newCollection({ ...texts, "a.tsv": "q0\td1\t1\n", "b.tsv": "q0\td2\t1\n" });
  const styled = sourceOf({ qrels: "a.tsv", prompts: { passage: "P: " } });
  const plain = sourceOf({ qrels: "b.tsv" });
  const sources = { kind: "combined" as const, merge: "last" as const, sources: [styled, plain] };
  await expect(prepareSource(sources, context)).rejects.toMatchObject({
    code: "CONFIG",
    message: expect.stringContaining("corpus.jsonl: sources give the same passages different prompts or templates"),
    hint: expect.stringContaining("prompts.passage"),
  });
  const asked = [styled, plain].map((each) => ({ ...each, prompts: { query: "Q: " } }));
  expect((await prepareSource({ ...sources, sources: asked }, context)).passages.rowCount).toBe(passageCount);
  (await openTrainingSet(binary({ positives: styled, negatives: plain, negativesPerQuery: 1 }), context)).close();
});

test("scores are told as the files write them, not as float32 widened", async () => {
  const { context } = newCollection({ ...texts, "a.tsv": "q0\td1\t0.9\n", "b.tsv": "q0\td1\t0.1\n" });
  const sources = [sourceOf({ qrels: "a.tsv" }), sourceOf({ qrels: "b.tsv" })];
  await expect(openSources({ kind: "combined", merge: "error", sources }, context)).rejects.toThrow(
    /has the score 0\.9 here and 0\.1 in /,
  );
  const mapped = await openSource(sourceOf({ qrels: "a.tsv", scoreTransform: { map: { 1: 1 } } }), context);
  expect(() => mapped.qrels?.judgements(0, 0)).toThrow("names no new score for 0.9 (");
});
