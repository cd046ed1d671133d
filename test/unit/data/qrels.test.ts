/** Judgements from files to what a search or a training asks for; the algebra's every corner is in qrels/algebra.test.ts. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { prepareSource } from "../../../src/data/index.js";
import type { Qrels } from "../../../src/data/types.js";
import { newCollection, passages, qrels, queries, sourceOf } from "./collection.js";
import { readFiles } from "./reference/reference.js";

const QUERIES = 6;
const PASSAGES = 9;
const score = fc.constantFrom(0, 1, 2, 3, 0.7, -1.5);
const triplet = fc.tuple(fc.nat(QUERIES - 1), fc.nat(PASSAGES - 1), score);
const files = fc.array(fc.array(triplet, { minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 3 });
const options = fc.record(
  {
    minScore: fc.constantFrom(0, 0.7, 1),
    maxScore: fc.constantFrom(1, 2, 0.7),
    scoreTransform: fc.constantFrom(5, 0.1),
    groupRandomK: fc.constantFrom(1, 2, 4),
  },
  { requiredKeys: [] },
);

const pairs = ({ rows, scores }: { rows: Int32Array; scores: Float32Array }): [number, number][] =>
  [...rows].map((row, at) => [row, scores[at] as number]);

test("any files and any options give what the reference gives", async () => {
  await fc.assert(
    fc.asyncProperty(files, options, async (lists, chosen) => {
      const named = Object.fromEntries(
        lists.map((list, at) => [
          `${at}.tsv`,
          qrels(list.map(([query, passage, grade]) => [`q${query}`, `d${passage}`, grade])),
        ]),
      );
      const { context } = newCollection({
        "corpus.jsonl": passages(PASSAGES),
        "queries.jsonl": queries(QUERIES),
        ...named,
      });
      const read = readFiles(
        lists.map((list) =>
          list.map(([query, passage, grade]) => ({ queryId: `${query}`, passageId: `${passage}`, score: grade })),
        ),
      );
      const annotatedOf = (query: number): [number, number][] =>
        read.filter(({ queryId }) => queryId === `${query}`).map((each) => [Number(each.passageId), each.score]);
      const { minScore = -Infinity, maxScore = Infinity, scoreTransform, groupRandomK = Infinity } = chosen;
      const expected = Array.from({ length: QUERIES }, (_, query) =>
        annotatedOf(query)
          .filter(([, grade]) => grade >= Math.fround(minScore) && grade < Math.fround(maxScore))
          .map(([passage, grade]): [number, number] => [passage, Math.fround(scoreTransform ?? grade)]),
      );
      const opening = prepareSource(sourceOf({ qrels: Object.keys(named), ...chosen }), context);
      if (expected.every((list) => list.length === 0)) {
        await expect(opening).rejects.toMatchObject({
          code: "DATA",
          message: expect.stringContaining("no judgement is left"),
        });
        return;
      }
      const source = await opening;
      const judged = source.qrels as Qrels;
      expect([...judged.queryRows]).toEqual([...expected.keys()].filter((query) => expected[query]?.length));
      for (const [query, kept] of expected.entries()) {
        expect(pairs(judged.annotated(query))).toEqual(annotatedOf(query));
        for (const epoch of [0, 1]) {
          const found = pairs(judged.judgements(query, epoch));
          expect(found).toEqual(pairs(judged.judgements(query, epoch)));
          expect(found).toHaveLength(Math.min(kept.length, groupRandomK));
          // A selection keeps the order of the file, so it is what the reference gives with some left out.
          expect(kept.filter(([row]) => found.some(([other]) => other === row))).toEqual(found);
        }
      }
      source.close();
    }),
    { numRuns: 40 },
  );
});

describe("details", () => {
  const collection = (content: string, more: Record<string, string> = {}) =>
    newCollection({ "corpus.jsonl": passages(30), "queries.jsonl": queries(4), "qrels.tsv": content, ...more });

  test("minScore is inclusive and maxScore exclusive, in the precision that scores are kept in", async () => {
    const { context } = collection("q0\td0\t0.7\nq0\td1\t0.69\nq0\td2\t0.3\n");
    const { qrels: kept } = await prepareSource(sourceOf({ qrels: "qrels.tsv", minScore: 0.7 }), context);
    expect([...(kept as Qrels).judgements(0, 0).rows]).toEqual([0]);
    const { qrels: below } = await prepareSource(sourceOf({ qrels: "qrels.tsv", maxScore: 0.7 }), context);
    expect([...(below as Qrels).judgements(0, 0).rows]).toEqual([1, 2]);
  });

  test("filters see the scores as written, not the constant", async () => {
    const { context } = collection("q0\td0\t3\nq0\td1\t1\n");
    const source = await prepareSource(sourceOf({ qrels: "qrels.tsv", minScore: 2, scoreTransform: 0 }), context);
    expect(pairs((source.qrels as Qrels).judgements(0, 0))).toEqual([[0, 0]]);
  });

  test("later files win, and origins name the file and line that count", async () => {
    const { context, dir, warnings } = collection("q0\td0\t1\nq0\td1\t1\n", { "more.tsv": "q0\td1\t4\nq1\td2\t1\n" });
    const source = await prepareSource(sourceOf({ qrels: ["qrels.tsv", "more.tsv"] }), context);
    const judged = source.qrels as Qrels;
    expect(pairs(judged.annotated(0))).toEqual([
      [0, 1],
      [1, 4],
    ]);
    expect(judged.origin(0, 0)).toEqual({ file: `${dir}/qrels.tsv`, line: 1 });
    expect(judged.origin(0, 1)).toEqual({ file: `${dir}/more.tsv`, line: 1 });
    expect(judged.origin(0, 5)).toBeNull();
    expect(warnings).toEqual([]);
  });

  test("random selection differs between epochs, queries and seeds, and is fair", async () => {
    const list = Array.from({ length: 30 }, (_, row) => [`q0`, `d${row}`, 1] as const);
    const { context } = collection(qrels([...list, ...list.map(([, passage]) => ["q1", passage, 1] as const)]));
    const open = async (seed: number) =>
      (await prepareSource(sourceOf({ qrels: "qrels.tsv", groupRandomK: 3 }), { ...context, seed })).qrels as Qrels;
    const [one, two] = [await open(1), await open(2)];
    const rows = (judged: Qrels, query: number, epoch: number): string => judged.judgements(query, epoch).rows.join();
    expect(rows(one, 0, 0)).not.toBe(rows(one, 0, 1));
    expect(rows(one, 0, 0)).not.toBe(rows(one, 1, 0));
    expect(rows(one, 0, 0)).not.toBe(rows(two, 0, 0));
    const counts = new Array<number>(30).fill(0);
    for (let epoch = 0; epoch < 3000; epoch += 1) for (const row of one.judgements(0, epoch).rows) counts[row]! += 1;
    // 300 expected each; chi-square with 29 degrees of freedom stays below 60 in all but 0.06 % of cases.
    expect(counts.reduce((sum, count) => sum + (count - 300) ** 2 / 300, 0)).toBeLessThan(60);
  });

  test("a source without qrels has none, and one without queries has an empty table", async () => {
    const { context } = newCollection({ "corpus.jsonl": passages(3) });
    const source = await prepareSource(sourceOf(), context);
    expect(source.qrels).toBeNull();
    expect([source.queries.rowCount, source.queries.rowOf("q0")]).toEqual([0, -1]);
    source.close();
  });
});
