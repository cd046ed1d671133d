/** Which passages an epoch takes: rotation, chance, file order; groups that are too small; graded and scored groups. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildMicroBatch, planStep } from "../../../src/data/index.js";
import { chooseOne, chooseOrder } from "../../../src/data/views/choice.js";
import { newCollection, passages, queries, sourceOf } from "./collection.js";
import { binary, multiLevel, open, scored, tsv } from "./training-sets.js";

const count = fc.integer({ min: 1, max: 40 });
const choice = fc.constantFrom("rotate" as const, "random" as const, "first" as const);
const moment = fc.record({ seed: fc.nat(0xffffffff), epoch: fc.nat(300), query: fc.nat(1e6) });
const numbers = (length: number): number[] => [...Array(length).keys()];

test("an order holds every place once, and asking for more leaves the first places as they are", () => {
  fc.assert(
    fc.property(choice, count, fc.nat(10), fc.nat(50), moment, (kind, n, perEpoch, wanted, when) => {
      const whole = [...chooseOrder(kind, n, perEpoch, Number.POSITIVE_INFINITY, when)];
      expect(whole.toSorted((one, other) => one - other)).toEqual(numbers(n));
      expect([...chooseOrder(kind, n, perEpoch, wanted, when)]).toEqual(whole.slice(0, wanted));
      if (kind === "first") expect(whole).toEqual(numbers(n));
    }),
  );
});

test("rotating takes all before any comes again, in one order that begins anew each time", () => {
  fc.assert(
    fc.property(count, count, moment, (n, perEpoch, { seed, query }) => {
      const k = Math.min(n, perEpoch);
      const walked = numbers(3 * n).flatMap((epoch) => [...chooseOrder("rotate", n, k, k, { seed, epoch, query })]);
      const circle = walked.slice(0, n);
      expect(circle.toSorted((one, other) => one - other)).toEqual(numbers(n));
      expect(walked).toEqual(numbers(3 * n * k).map((at) => circle[at % n]));
      const ones = numbers(2 * n).map((epoch) => chooseOne("rotate", n, { seed, epoch, query }));
      expect(ones).toEqual(numbers(2 * n).map((epoch) => ((ones[0] as number) + epoch) % n));
    }),
  );
});

test("the choices stay what the README says", () => {
  const at = (epoch: number) => ({ seed: 42, epoch, query: 7 });
  const orders = (kind: "rotate" | "random") =>
    [0, 1, 2].map((epoch) => chooseOrder(kind, 5, 2, 2, at(epoch)).join(" "));
  const ones = (kind: "rotate" | "random") => [0, 1, 2, 3].map((epoch) => chooseOne(kind, 5, at(epoch))).join(" ");
  expect({ rotate: orders("rotate"), random: orders("random") }).toMatchInlineSnapshot(`
    {
      "random": [
        "2 3",
        "3 4",
        "3 2",
      ],
      "rotate": [
        "2 3",
        "1 4",
        "0 2",
      ],
    }
  `);
  expect({ rotate: ones("rotate"), random: ones("random") }).toMatchInlineSnapshot(`
    {
      "random": "1 4 0 0",
      "rotate": "1 2 3 4",
    }
  `);
});

const files = {
  "corpus.jsonl": passages(12),
  "queries.jsonl": queries(3),
  "train.tsv": tsv([
    [0, 0, 1],
    [0, 1, 2],
    [0, 2, 3],
    [1, 3, 1],
    [2, 4, 1],
  ]),
  "mined.tsv": tsv([
    [0, 11, 0.5],
    [0, 5, -1.5],
    [0, 6, 0.25],
    [1, 7, 0.75],
    [1, 8, 0.5],
    [2, 9, 0.125],
  ]),
};
const positives = sourceOf({ qrels: "train.tsv" });
const negatives = sourceOf({ qrels: "mined.tsv" });

describe("the binary view", () => {
  test("rotates positives and negatives through the epochs", async () => {
    const { context } = newCollection(files);
    const set = await open(binary({ positives, negatives, negativesPerQuery: 2 }), context);
    const groups = numbers(6).map((epoch) => set.group(0, epoch));
    const firsts = groups.map((group) => group.passages[0] as number);
    expect([firsts.slice(0, 3).toSorted(), firsts.slice(3)]).toEqual([[0, 1, 2], firsts.slice(0, 3)]);
    const walked = groups.flatMap((group) => [...group.passages.slice(1)]);
    expect(new Set(walked.slice(0, 3))).toEqual(new Set([11, 5, 6]));
    expect(walked).toEqual(numbers(12).map((at) => walked[at % 3]));
    set.close();
  });

  test("first takes the order of the files in every epoch, and spares follow in it", async () => {
    const { context } = newCollection(files);
    const data = binary({
      positives,
      negatives,
      negativesPerQuery: 2,
      positiveChoice: "first",
      negativeChoice: "first",
    });
    const set = await open(data, context);
    for (const epoch of numbers(4)) {
      expect([...set.group(0, epoch).passages]).toEqual([0, 11, 5]);
      expect([...set.spares(0, epoch).rows]).toEqual([6]);
    }
    set.close();
  });

  test("with too few passages groups are smaller, or passages come round again, or opening says which queries", async () => {
    const { context } = newCollection(files);
    const data = {
      positives,
      negatives,
      negativesPerQuery: 3,
      positiveChoice: "first",
      negativeChoice: "first",
    } as const;
    const fewer = await open(binary(data), context);
    expect([...fewer.group(1, 0).passages, fewer.group(1, 0).count]).toEqual([3, 7, 8, 3, 3]);
    expect([...fewer.group(2, 0).passages, fewer.group(2, 0).count]).toEqual([4, 9, 4, 4, 2]);
    const cycle = await open(binary({ ...data, tooFew: "cycle" }), context);
    expect([...cycle.group(1, 0).passages, cycle.group(1, 0).count]).toEqual([3, 7, 8, 7, 4]);
    expect([...cycle.group(2, 0).passages, cycle.group(2, 0).count]).toEqual([4, 9, 9, 9, 4]);
    expect(new Set([fewer.fingerprint, cycle.fingerprint]).size).toBe(2);
    const file = `${context.baseDir}/queries.jsonl`;
    await expect(open(binary({ ...data, tooFew: "error" }), context)).rejects.toMatchObject({
      code: "DATA",
      message: `train.tsv: 2 queries have fewer than 4 passages for a group:\n  ${file}:2: query "q1": 3\n  ${file}:3: query "q2": 2`,
      hint: expect.stringContaining("cycle"),
    });
    const enough = await open(binary({ ...data, negativesPerQuery: 1, tooFew: "error" }), context);
    expect(enough.queryCount).toBe(3);
    for (const set of [fewer, cycle, enough]) set.close();
  });

  test("paddings are masked for every query and are no masked positives", async () => {
    const { context } = newCollection(files);
    const set = await open(binary({ positives, negatives, negativesPerQuery: 3 }), context);
    const groups = planStep(set, 0, 3);
    const share = { rank: 0, worldSize: 1, microStep: 0, accumulationSteps: 1, queriesPerRank: 3 };
    const batch = buildMicroBatch(set, groups, share);
    expect([...batch.counts]).toEqual(groups.map((group) => group.count));
    for (const query of numbers(3)) {
      for (const [at, group] of groups.entries()) {
        const places = batch.mask.subarray(query * 12 + at * 4, query * 12 + at * 4 + 4);
        expect([...places.subarray(group.count)]).toEqual(Array(4 - group.count).fill(1));
        expect([...places.subarray(1, group.count)]).toEqual(Array(group.count - 1).fill(0));
      }
    }
    expect(batch.maskedPositives).toBe(0);
    set.close();
  });
});

test("the scored view labels passages with their sources' transformed scores", async () => {
  const { context } = newCollection(files);
  const data = scored({
    positives: { ...positives, scoreTransform: 9 },
    negatives,
    negativesPerQuery: 3,
    negativeChoice: "first",
  });
  const set = await open(data, context);
  expect([...set.group(0, 0).labels]).toEqual([9, 0.5, -1.5, 0.25]);
  expect([...set.group(2, 0).labels]).toEqual([9, 0.125, 9, 9]);
  set.close();
});

describe("the multi-level view", () => {
  const judged = fc.uniqueArray(fc.tuple(fc.nat(2), fc.nat(11), fc.integer({ min: -4, max: 8 })), {
    selector: ([query, passage]) => `${query} ${passage}`,
    minLength: 4,
    maxLength: 36,
  });
  // d0, d1, d10, d11, d2, …: ids are ordered as strings.
  const idOf = (passage: number): string => `d${passage}`;

  test("takes the most or the least relevant by (label, id), the best one first, real labels unchanged", async () => {
    await fc.assert(
      fc.asyncProperty(judged, fc.integer({ min: 1, max: 6 }), async (list, size) => {
        const { context } = newCollection({ ...files, "graded.tsv": tsv(list.map(([q, d, s]) => [q, d, s / 4])) });
        const sources = [sourceOf({ qrels: "graded.tsv" })];
        const able = numbers(3).filter((query) => {
          const own = list.filter(([q]) => q === query);
          return own.some(([, , s]) => s > 0) && (size === 1 || own.length > 1);
        });
        fc.pre(able.length > 0);
        for (const selection of ["most", "least", "all"] as const) {
          const set = await open(multiLevel({ sources, passagesPerQuery: size, selection }), context);
          expect(set.queryCount).toBe(able.length);
          const lengths = able.map((query) => list.filter(([q]) => q === query).length);
          expect(set.passagesPerQuery).toBe(selection === "all" ? Math.min(size, Math.max(...lengths)) : size);
          for (const [index, query] of able.entries()) {
            const down = list
              .filter(([q]) => q === query)
              .toSorted((a, b) => b[2] - a[2] || (idOf(a[1]) < idOf(b[1]) ? 1 : -1));
            const order = selection === "least" ? [...down.slice(0, 1), ...down.slice(1).reverse()] : down;
            const expected = order.slice(0, set.passagesPerQuery);
            for (const epoch of [0, 5]) {
              const group = set.group(index, epoch);
              expect(group.count).toBe(expected.length);
              expect([...group.passages.slice(0, group.count)]).toEqual(expected.map(([, d]) => d));
              expect([...group.labels.slice(0, group.count)]).toEqual(expected.map(([, , s]) => s / 4));
            }
          }
          set.close();
        }
      }),
      { numRuns: 15 },
    );
  });
});
