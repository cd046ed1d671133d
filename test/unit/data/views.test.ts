/** The views that training learns from. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openTrainingSet } from "../../../src/data/index.js";
import { newCollection, passages, queries, sourceOf } from "./collection.js";
import { binary, multiLevel, tsv } from "./training-sets.js";

const positives = sourceOf({ qrels: "train.tsv", minScore: 1 });
const negatives = sourceOf({ qrels: "mined.tsv" });
const pair = fc.tuple(fc.nat(5), fc.nat(11));
const epochs = Array.from({ length: 20 }, (_, epoch) => epoch);

describe("the binary view", () => {
  test("takes positives and negatives as the sources say, never a known positive as a negative", async () => {
    const judged = fc.uniqueArray(pair, { selector: String, minLength: 1, maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(
        judged,
        judged,
        fc.integer({ min: 0, max: 4 }),
        fc.boolean(),
        async (yes, no, count, isOther) => {
          const { context, warnings } = newCollection({
            "corpus.jsonl": passages(12),
            "other.jsonl": passages(12, "o"),
            "queries.jsonl": queries(6),
            // The same queries in another order: identity is the id, not the row.
            "queries2.jsonl": queries(6).trim().split("\n").reverse().join("\n"),
            "train.tsv": tsv(yes.map(([query, passage]) => [query, passage, 1 + (passage % 2)])),
            "mined.tsv": tsv(
              no.map(([query, passage]) => [query, passage, 0.5]),
              isOther ? "o" : "d",
            ),
          });
          const offset = isOther ? 12 : 0;
          const known = (query: number): number[] => yes.filter(([own]) => own === query).map(([, passage]) => passage);
          const usable = (query: number): number[] =>
            no
              .filter(([own, passage]) => own === query && (isOther || !known(query).includes(passage)))
              .map(([, passage]) => passage + offset);
          const able = [...new Set(yes.map(([query]) => query))]
            .filter((query) => count === 0 || usable(query).length > 0)
            .sort((one, other) => one - other);
          const source = { ...negatives, queries: "queries2.jsonl", ...(isOther ? { corpus: "other.jsonl" } : {}) };
          const opening = openTrainingSet(binary({ positives, negatives: source, negativesPerQuery: count }), context);
          if (able.length === 0) return void (await expect(opening).rejects.toMatchObject({ code: "DATA" }));
          const set = await opening;
          expect([set.queryCount, set.passagesPerQuery]).toEqual([able.length, 1 + count]);
          const isTold = warnings.some((message) => message.includes("cannot form a group"));
          expect(isTold).toBe(able.length < new Set(yes.map(([query]) => query)).size);
          const seen = new Map<number, Set<number>>();
          for (const epoch of epochs) {
            for (const [index, query] of able.entries()) {
              const group = set.group(index, epoch);
              expect(group).toEqual(set.group(index, epoch));
              expect(group.query).toBe(query);
              expect(known(query)).toContain(group.passages[0]);
              const chosen = [...group.passages.slice(1, group.count)];
              for (const passage of chosen) expect(usable(query)).toContain(passage);
              expect(chosen.length).toBe(Math.min(count, usable(query).length));
              expect(new Set(chosen).size).toBe(chosen.length);
              // Paddings repeat the first passage.
              const rest = Array.from({ length: 1 + count - group.count }, () => group.passages[0]);
              expect([...group.passages.slice(group.count)]).toEqual(rest);
              const spares = count === 0 ? [] : [...set.spares(index, epoch).rows];
              if (count > 0) expect(new Set([...chosen, ...spares])).toEqual(new Set(usable(query)));
              seen.set(query, (seen.get(query) ?? new Set()).add(group.passages[0] as number));
              expect([...set.knownPositives(query)].sort()).toEqual(known(query).sort());
            }
          }
          for (const query of able) if (known(query).length === 2) expect(seen.get(query)?.size).toBe(2);
          set.close();
        },
      ),
      { numRuns: 25 },
    );
  });

  test("groupRandomK picks among usable negatives only, so a group never runs dry", async () => {
    const { context } = newCollection({
      "corpus.jsonl": passages(12),
      "queries.jsonl": queries(1),
      "train.tsv": tsv([0, 1, 2, 3, 4, 5, 6, 7, 8].map((passage) => [0, passage, 1])),
      "mined.tsv": tsv([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10].map((passage) => [0, passage, 0])),
    });
    const data = binary({ positives, negatives: { ...negatives, groupRandomK: 1 }, negativesPerQuery: 1 });
    const set = await openTrainingSet(data, context);
    const chosen = epochs.map((epoch) => set.group(0, epoch).passages[1]);
    expect(new Set(chosen)).toEqual(new Set([9, 10]));
    set.close();
  });

  test("takes no passage judged 0 or less as a positive unless minScore asks for it", async () => {
    const { context, warnings } = newCollection({
      "corpus.jsonl": passages(6),
      "queries.jsonl": queries(3),
      "train.tsv": tsv([
        [0, 0, 0],
        [0, 1, 0.5],
        [0, 2, -1],
        [1, 3, 0],
        [2, 4, 1],
      ]),
    });
    const open = (minScore?: number) =>
      openTrainingSet(
        binary({ positives: sourceOf({ qrels: "train.tsv", ...(minScore === undefined ? {} : { minScore }) }) }),
        context,
      );
    const set = await open();
    expect(warnings.at(-1)).toContain("1 query of 3 cannot form a group and are left out (1 without a positive)");
    expect(new Set(epochs.map((epoch) => set.group(0, epoch).passages[0]))).toEqual(new Set([1]));
    expect([set.queryCount, [...set.knownPositives(0)]]).toEqual([2, [1]]);
    const asked = await open(0);
    expect(new Set(epochs.map((epoch) => asked.group(0, epoch).passages[0]))).toEqual(new Set([0, 1]));
    expect([asked.queryCount, [...asked.knownPositives(0)]]).toEqual([3, [0, 1]]);
    expect(asked.fingerprint).not.toBe(set.fingerprint);
    set.close();
    asked.close();
  });

  test("asks for negatives and qrels where they are missing", async () => {
    const { context } = newCollection({
      "corpus.jsonl": passages(3),
      "queries.jsonl": queries(1),
      "train.tsv": tsv([[0, 0, 1]]),
    });
    const noSource = openTrainingSet(binary({ positives, negativesPerQuery: 1 }), context);
    await expect(noSource).rejects.toMatchObject({
      code: "CONFIG",
      message: expect.stringContaining("negativesPerQuery is 1"),
    });
    const noQrels = openTrainingSet(binary({ positives: sourceOf() }), context);
    await expect(noQrels).rejects.toMatchObject({ code: "CONFIG", message: expect.stringContaining("has no qrels") });
  });

  test("the fingerprint follows texts, judgements, options and seed, and nothing else", async () => {
    const files = {
      "corpus.jsonl": passages(4),
      "queries.jsonl": queries(2),
      "train.tsv": tsv([
        [0, 0, 1],
        [1, 1, 2],
      ]),
    };
    const of = async (changes: Record<string, string> = {}, minScore = 1, seed = 42): Promise<string> => {
      const { context } = newCollection({ ...files, ...changes }, seed);
      const set = await openTrainingSet(binary({ positives: { ...positives, minScore } }), context);
      set.close();
      return set.fingerprint;
    };
    const first = await of();
    expect(await of()).toBe(first);
    const others = [await of({ "corpus.jsonl": passages(5) }), await of({ "train.tsv": tsv([[0, 0, 1]]) })];
    others.push(await of({}, 2), await of({}, 1, 43));
    expect(new Set([first, ...others]).size).toBe(5);
  });
});

test("the multi-level view puts one of the best first, later sources win, and unknown corpora are numbered behind", async () => {
  const { context, warnings } = newCollection({
    "corpus.jsonl": passages(12),
    "other.jsonl": passages(12, "o"),
    "queries.jsonl": queries(4),
    "a.tsv": tsv([
      [0, 0, 2],
      [0, 1, 2],
      [0, 2, 1],
      [0, 3, 0],
      [1, 4, 1],
      [2, 5, 3],
      [2, 6, 1],
    ]),
    "b.tsv": tsv([[0, 2, 0]]),
    "c.tsv": tsv([[2, 7, 2]], "o"),
  });
  const sources = [
    sourceOf({ qrels: "a.tsv" }),
    sourceOf({ qrels: "b.tsv" }),
    sourceOf({ corpus: "other.jsonl", qrels: "c.tsv" }),
  ];
  const set = await openTrainingSet(multiLevel({ sources, passagesPerQuery: 3 }), context);
  expect(warnings.at(-1)).toContain("1 query of 3 cannot form a group");
  expect(set.queryCount).toBe(2);
  const labels = new Map([
    [0, 2],
    [1, 2],
    [2, 0],
    [3, 0],
  ]);
  const firsts = new Set<number>();
  for (const epoch of epochs) {
    const group = set.group(0, epoch);
    firsts.add(group.passages[0] as number);
    expect([...group.labels]).toEqual([...group.passages].map((passage) => labels.get(passage)));
    expect(new Set(group.passages).size).toBe(3);
    const second = set.group(1, epoch);
    expect([second.query, second.passages[0], second.labels[0]]).toEqual([2, 5, 3]);
    expect([...second.passages.slice(1)].sort()).toEqual([19, 6]);
  }
  expect(firsts).toEqual(new Set([0, 1]));
  expect([set.isKnownPositive(0, 2), set.isKnownPositive(0, 1), set.isKnownPositive(2, 19)]).toEqual([
    false,
    true,
    true,
  ]);
  expect(set.passageOrigin(19)).toEqual({ file: `${context.baseDir}/other.jsonl`, line: 8 });
  expect([set.passageId(19), set.passageId(7), set.queryId(2)]).toEqual(["o7", "d7", "q2"]);
  set.close();
});

test("the multi-level view leaves out queries without a label above zero, and no draw loses the relevant ones", async () => {
  const { context, warnings } = newCollection({
    "corpus.jsonl": passages(12),
    "queries.jsonl": queries(3),
    "a.tsv": tsv([
      [0, 0, 0],
      [0, 1, 0],
      [1, 2, -1],
      [1, 3, -2],
      ...[0, 1, 2, 3, 4, 5, 6, 7].map((passage) => [2, passage, passage === 5 ? 1 : 0] as const),
    ]),
  });
  const open = (options: object) =>
    openTrainingSet(multiLevel({ sources: [sourceOf({ qrels: "a.tsv", ...options })], passagesPerQuery: 2 }), context);
  const set = await open({ groupRandomK: 2 });
  expect(warnings.at(-1)).toContain("2 queries of 3 cannot form a group and are left out (2 without a positive)");
  expect(set.queryCount).toBe(1);
  for (const epoch of epochs) {
    const group = set.group(0, epoch);
    expect([group.query, group.passages[0], ...group.labels]).toEqual([2, 5, 1, 0]);
  }
  set.close();
  await expect(open({ maxScore: 1 })).rejects.toMatchObject({
    code: "DATA",
    message: expect.stringContaining("3 without a positive"),
  });
});
