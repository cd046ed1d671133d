/** The micro-batches cut from a step's groups: shares of ranks, and which columns count for a query. */
import { tableFromIPC } from "apache-arrow";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildMicroBatch, isMasked, MASKED } from "../../../src/data/batches.js";
import { openTrainingSet, planStep } from "../../../src/data/index.js";
import type { Group, TrainingSet } from "../../../src/data/types.js";
import { jsonLines, newCollection, queries, sourceOf } from "./collection.js";
import { binary, tsv } from "./training-sets.js";

const positives = sourceOf({ qrels: "train.tsv", minScore: 1 });
const negatives = sourceOf({ qrels: "mined.tsv" });
const pair = fc.tuple(fc.nat(5), fc.nat(11));

describe("a micro-batch", () => {
  /** d0 and d5 have the same text; q0 and q1 share the positive d1, q2 and q4 d0; d8 and d9 are mined for all. */
  async function conflicted() {
    const texts = Array.from({ length: 10 }, (_, row) => ({
      _id: `d${row}`,
      title: "",
      text: `text ${row % 5 === 0 ? 0 : row}`,
    }));
    const { context } = newCollection({
      "corpus.jsonl": jsonLines(texts),
      "queries.jsonl": queries(6),
      "train.tsv": tsv([
        [0, 1, 1],
        [0, 2, 1],
        [1, 1, 1],
        [2, 0, 1],
        [3, 5, 1],
        [4, 0, 1],
        [4, 3, 1],
        [5, 4, 1],
      ]),
      "mined.tsv": tsv(
        [0, 1, 2, 3, 4, 5].flatMap(
          (query) =>
            [
              [query, 9, 0],
              [query, 8, 0],
            ] as const,
        ),
      ),
    });
    return openTrainingSet(binary({ positives, negatives, negativesPerQuery: 2 }), context);
  }

  test("masks known positives, their copies and all columns of a passage but one, and nothing else", async () => {
    const set = await conflicted();
    for (let step = 0; step < 8; step += 1) {
      const groups = planStep(set, step, 6);
      const batch = buildMicroBatch(set, groups, {
        rank: 0,
        worldSize: 1,
        microStep: 0,
        accumulationSteps: 1,
        queriesPerRank: 6,
      });
      expect([batch.queryCount, batch.passagesPerQuery, batch.columnCount]).toEqual([6, 3, 18]);
      const columns = groups.flatMap(({ passages: rows }) => [...rows]);
      const isSame = (one: number, other: number): boolean => one === other || (one % 5 === 0 && other % 5 === 0);
      for (const [row, group] of groups.entries()) {
        const expected = columns.map((passage, column) => {
          if (column === row * 3) return false;
          // First places come before all others, then the order of the columns decides.
          const rank = (at: number): number => (at % 3 === 0 ? 0 : 18) + at;
          const isRepeat = columns.some((other, at) => other === passage && rank(at) < rank(column));
          const isCopy = [...set.knownPositives(group.query)].some((positive) => isSame(passage, positive));
          return isRepeat || isCopy;
        });
        expect([...batch.mask.subarray(row * 18, (row + 1) * 18)].map(isMasked)).toEqual(expected);
        expect(batch.positiveColumns[row]).toBe(row * 3);
      }
      expect([...batch.labels]).toEqual(groups.flatMap(({ labels }) => [...labels]));
    }
    set.close();
  });

  test("shows each query its own positive, no text that is relevant to it, and every other passage exactly once", async () => {
    const judged = fc.uniqueArray(pair, { selector: String, minLength: 6, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(judged, judged, fc.integer({ min: 0, max: 3 }), async (yes, no, count) => {
        const text = (passage: number): number => passage % 7;
        const texts = Array.from({ length: 12 }, (_, row) => ({
          _id: `d${row}`,
          title: "",
          text: `text ${text(row)}`,
        }));
        const { context } = newCollection({
          "corpus.jsonl": jsonLines(texts),
          "queries.jsonl": queries(6),
          "train.tsv": tsv([...yes, ...[0, 1, 2].map((query) => [query, 11] as const)].map(([q, d]) => [q, d, 1])),
          "mined.tsv": tsv(
            [...no, ...[0, 1, 2].map((query) => [query, 10 - query] as const)].map(([q, d]) => [q, d, 0]),
          ),
        });
        const data = binary({ positives, negatives, negativesPerQuery: count });
        const opening = openTrainingSet(data, context);
        const set = await opening.catch(() => null);
        if (set === null) return fc.pre(false);
        const groups = planStep(set, 0, 8);
        const columns = groups.flatMap(({ passages: rows }) => [...rows]);
        for (const rank of [0, 1]) {
          const share = { rank, worldSize: 2, microStep: 0, accumulationSteps: 1, queriesPerRank: 4 };
          const { mask, positiveColumns, queryRows, counts } = buildMicroBatch(set, groups, share);
          const { always, repeat, rankRepeat, ownRepeat } = MASKED;
          const end = positiveColumns[3] as number;
          const width = set.passagesPerQuery;
          for (const [at, own] of positiveColumns.entries()) {
            const bits = [...mask.subarray(at * columns.length, (at + 1) * columns.length)];
            const passagesOf = (some: Iterable<number>) => [...some].map((column) => columns[column] as number);
            const relevant = new Set([...set.knownPositives(queryRows[at] as number)].map(text));
            const expectEachOnce = (shown: readonly number[], from: readonly number[]): void => {
              expect(shown).toContain(own);
              const others = passagesOf(shown.filter((column) => column !== own));
              const irrelevant = passagesOf(from).filter((passage) => !relevant.has(text(passage)));
              expect(others.sort()).toEqual([...new Set(irrelevant)].sort());
            };
            const all = [...bits.keys()];
            const without = (reasons: number, some: readonly number[]) =>
              some.filter((column) => ((bits[column] as number) & reasons) === 0);
            expectEachOnce(without(always | repeat, all), all);
            // A loss that gathers nothing has the columns of its own rank.
            const ofRank = all.slice(positiveColumns[0], end + width);
            expectEachOnce(without(always | rankRepeat, ofRank), ofRank);
            // One that goes by labels has each text of the group in the group, and others as ever.
            const isOwn = (column: number) => column >= own && column < own + (counts[at] as number);
            const textOf = (column: number) => text(columns[column] as number);
            for (const each of new Set(all.filter(isOwn).map(textOf))) {
              const shown = without(always | ownRepeat, all).filter((column) => textOf(column) === each);
              expect(shown.length).toBe(relevant.has(each) && each !== textOf(own) ? 0 : 1);
              expect(shown.every(isOwn)).toBe(true);
            }
          }
        }
        set.close();
      }),
      { numRuns: 40 },
    );
  });

  test("shares of ranks and micro-steps cover the step once, in the order of the contract", async () => {
    const set = await conflicted();
    const groups = planStep(set, 1, 12);
    const layout = { worldSize: 2, accumulationSteps: 3, queriesPerRank: 2 };
    const seen: number[] = [];
    for (let microStep = 0; microStep < 3; microStep += 1) {
      const columns = groups.slice(microStep * 4, microStep * 4 + 4).flatMap(({ passages: rows }) => [...rows]);
      for (let rank = 0; rank < 2; rank += 1) {
        const batch = buildMicroBatch(set, groups, { ...layout, rank, microStep });
        seen.push(...batch.queryRows);
        expect(batch.columnCount).toBe(columns.length);
        const own = groups.slice((microStep * 2 + rank) * 2, (microStep * 2 + rank) * 2 + 2);
        expect([...batch.queryRows]).toEqual(own.map(({ query }) => query));
        expect([...batch.positiveColumns].map((column) => columns[column])).toEqual(
          own.map((group) => group.passages[0]),
        );
        expect([...batch.passageRows]).toEqual(columns.slice(rank * 6, rank * 6 + 6));
        const sent = tableFromIPC(batch.passages);
        expect([...sent.getChild("row")!.toArray()]).toEqual([...batch.passageRows]);
        expect(tableFromIPC(batch.queries).getChild("text")!.toArray()).toEqual(
          own.map(({ query }) => `what is ${query}?`),
        );
      }
    }
    expect(seen).toEqual(groups.map(({ query }) => query));
    expect(() => buildMicroBatch(set, groups, { ...layout, worldSize: 3, rank: 0, microStep: 0 })).toThrow(RangeError);
    set.close();
  });

  /** Each query's negative is the next one's positive. */
  const chain = {
    passagesPerQuery: 2,
    gatherQueries: () => new Uint8Array(),
    gatherPassages: () => new Uint8Array(),
    textHash: (passage: number) => passage,
    isSameText: (one: number, other: number) => one === other,
    knownPositives: (query: number) => Int32Array.of(query),
  } as unknown as TrainingSet;
  const chained = (): Group[] =>
    [0, 1].map((query) => ({
      query,
      passages: Int32Array.of(query, query + 1),
      labels: Float32Array.of(1, 0),
      count: 2,
      part: 0,
    }));
  const split = { rank: 0, worldSize: 2, microStep: 0, accumulationSteps: 1, queriesPerRank: 1 };
  const alone = { ...split, worldSize: 1, queriesPerRank: 2 };

  test("a query's own negative says that it is its own, whoever else has it", () => {
    const groups = chained();
    const maskOf = (rank: number) => [...buildMicroBatch(chain, groups, { ...split, rank }).mask];
    const { always, repeat, ownRepeat } = MASKED;
    expect(maskOf(0)).toEqual([0, repeat, ownRepeat, 0]);
    expect(maskOf(1)).toEqual([0, always | repeat, 0, 0]);
  });

  test("groups that two ranks shared are shared anew by one: a restart may have fewer ranks", () => {
    const groups = chained();
    const { mask } = buildMicroBatch(chain, chained(), alone);
    buildMicroBatch(chain, groups, split);
    expect(buildMicroBatch(chain, groups, alone).mask).toEqual(mask);
  });

  test("texts whose hashes agree by chance are no copies of each other", () => {
    const { mask } = buildMicroBatch(chain, chained(), alone);
    const colliding: TrainingSet = { ...chain, textHash: () => 7 };
    expect(buildMicroBatch(colliding, chained(), alone).mask).toEqual(mask);
  });
});
