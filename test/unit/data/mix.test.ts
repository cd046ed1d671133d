/** Mixed training sets: shares by weight, sequences of their own, one numbering, batch rules across the parts. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { buildMicroBatch, isMasked, planStep, stepsOf } from "../../../src/data/index.js";
import { Shares } from "../../../src/data/views/shares.js";
import { jsonLines, newCollection, passages, queries, sourceOf } from "./collection.js";
import { binary, mix, multiLevel, open, tsv } from "./training-sets.js";

const numbers = (length: number): number[] => [...Array(length).keys()];

test("shares follow the weights at each cycle's end, and a part's turns count on without a gap", () => {
  const weights = fc.array(
    fc.oneof(fc.integer({ min: 1, max: 1e6 }), fc.double({ min: 1e-3, max: 1e3, noNaN: true })),
    {
      minLength: 1,
      maxLength: 6,
    },
  );
  fc.assert(
    fc.property(weights, fc.nat(0xffffffff), fc.constantFrom(8, 64), (given, seed, cycle) => {
      const shares = new Shares(given, seed, cycle);
      const total = given.reduce((sum, weight) => sum + weight, 0);
      const next = given.map(() => 0);
      for (let place = 0; place < 20 * cycle; place += 1) {
        const { part, ordinal } = shares.turn(place);
        if (ordinal !== next[part]) expect.fail(`place ${place}: part ${part} has turn ${ordinal}, not ${next[part]}`);
        next[part] = ordinal + 1;
        if ((place + 1) % cycle !== 0) continue;
        for (const [at, turns] of next.entries()) {
          // Each split rounds once and passes its rest on: half a place for each part before.
          const off = Math.abs(turns - ((place + 1) * (given[at] as number)) / total);
          expect(off).toBeLessThanOrEqual((given.length - 1) / 2 + 1e-6);
        }
      }
      const again = new Shares(given, seed, cycle);
      for (const place of [19 * cycle, 3, 7 * cycle + 1]) expect(again.turn(place)).toEqual(shares.turn(place));
    }),
    { numRuns: 60 },
  );
});

test("the shares stay what the README says", () => {
  const shares = new Shares([3, 1], 42, 8);
  const seen = numbers(16).map((place) => shares.turn(place));
  expect(seen.map(({ part, ordinal }) => `${part}:${ordinal}`).join(" ")).toMatchInlineSnapshot(
    `"0:0 0:1 0:2 1:0 0:3 0:4 1:1 0:5 0:6 1:2 1:3 0:7 0:8 0:9 0:10 0:11"`,
  );
});

/** Two corpora; "q0" to "q5" stand in both files of queries, with other texts but for q5. */
const files = {
  "corpus.jsonl": passages(40),
  "queries.jsonl": queries(8),
  "other.jsonl": passages(30, "o"),
  "queries2.jsonl": jsonLines(
    numbers(6).map((row) => ({ _id: `q${row}`, text: row === 5 ? "what is 5?" : `other ${row}` })),
  ),
  "a.tsv": tsv(numbers(8).map((row) => [row, row, 1])),
  "an.tsv": tsv(numbers(8).flatMap((row) => numbers(20).map((at) => [row, 8 + at, 0] as const))),
  "b.tsv": tsv(
    numbers(6).map((row) => [row, row, 1]),
    "o",
  ),
  "bn.tsv": tsv(
    numbers(6).flatMap((row) => numbers(20).map((at) => [row, 6 + at, 0] as const)),
    "o",
  ),
  // q5 is the same query as in the first part, and knows another relevant passage: d10.
  "shared.tsv": tsv([[5, 10, 1]]),
};
const first = binary({
  positives: sourceOf({ name: "first", qrels: "a.tsv" }),
  negatives: sourceOf({ qrels: "an.tsv" }),
  negativesPerQuery: 2,
});
const second = binary({
  positives: sourceOf({ corpus: "other.jsonl", queries: "queries2.jsonl", qrels: "b.tsv" }),
  negatives: sourceOf({ corpus: "other.jsonl", queries: "queries2.jsonl", qrels: "bn.tsv" }),
  negativesPerQuery: 2,
});

test("a part goes by the name that the mix gives it, and each query of a batch by the number of its part", async () => {
  const { context } = newCollection(files);
  const set = await open(
    mix([
      { name: "clicks", data: first, weight: 1 },
      { data: second, weight: 1 },
    ]),
    context,
  );
  expect([set.partCount, set.partName(0), set.partName(1)]).toEqual([2, "clicks", "b.tsv"]);
  const groups = planStep(set, 0, 8);
  const share = { worldSize: 2, microStep: 0, accumulationSteps: 1, queriesPerRank: 4 };
  const parts = [0, 1].flatMap((rank) => [...buildMicroBatch(set, groups, { ...share, rank }).sources]);
  expect(parts).toEqual(groups.map(({ part }) => part));
  expect(new Set(parts)).toEqual(new Set([0, 1]));
  expect((await open(first, context)).partCount).toBe(1);
});

test("each part runs through its own epochs as it would alone, whatever the others do", async () => {
  const { context } = newCollection(files);
  const set = await open(
    mix([
      { data: first, weight: 3 },
      { data: second, weight: 1 },
    ]),
    context,
  );
  const alone = await open(first, context);
  expect([set.queryCount, set.passagesPerQuery, set.partName(0), set.partName(1)]).toEqual([14, 3, "first", "b.tsv"]);
  const turns = numbers(4096).map((place) => {
    const { index, epoch } = set.at(place, 16);
    return { index, epoch, group: set.group(index, epoch) };
  });
  const own = turns.filter(({ group }) => group.part === 0);
  expect(own.length).toBe(3072);
  for (const [place, { index, epoch, group }] of own.entries()) {
    expect({ index, epoch }).toEqual(alone.at(place, 16));
    expect(group).toEqual(alone.group(index, epoch));
  }
  const others = turns.filter(({ group }) => group.part === 1);
  for (const epoch of numbers(100)) {
    const seen = others.slice(epoch * 6, epoch * 6 + 6).map(({ group }) => set.queryId(group.query));
    expect(new Set(seen)).toEqual(new Set(numbers(6).map((row) => `q${row}`)));
  }
  for (const { group } of others.slice(0, 50)) {
    expect(set.queryOrigin(group.query).file).toContain("queries2.jsonl");
    expect([...group.passages].map((passage) => set.passageId(passage)[0])).toEqual(["o", "o", "o"]);
  }
  expect(stepsOf(set, 2, 7)).toBe(4);
  set.close();
  alone.close();
});

test("by default the parts' shares are their numbers of queries, so all of them end their epochs together", async () => {
  const { context } = newCollection(files);
  const set = await open(mix([{ data: first }, { data: second }]), context);
  const counts = [0, 0];
  for (let place = 0; place < 14 * 1024; place += 1) {
    const { index, epoch } = set.at(place, 16);
    const { part } = set.group(index, epoch);
    counts[part] = (counts[part] as number) + 1;
  }
  expect(counts).toEqual([8 * 1024, 6 * 1024]);
  set.close();
});

test("single gives whole steps to one part, by weight", async () => {
  const { context } = newCollection(files);
  const set = await open(
    mix(
      [
        { data: first, weight: 3 },
        { data: second, weight: 1 },
      ],
      "single",
    ),
    context,
  );
  const steps = numbers(64).map((step) => planStep(set, step, 4).map(({ part }) => part));
  for (const parts of steps) expect(new Set(parts).size).toBe(1);
  expect(steps.filter(([part]) => part === 1).length).toBe(16);
  expect(planStep(set, 9, 4)).toEqual(planStep(set, 9, 4));
  set.close();
});

test("equal ids are other queries unless their texts agree; what one part knows as relevant holds in all", async () => {
  const known6 = files["an.tsv"].split("\n").filter((line) => !/^q([6-9]|\d\d)\t/.test(line));
  const { context } = newCollection({ ...files, "an6.tsv": known6.join("\n") });
  const third = binary({
    positives: sourceOf({ queries: "queries2.jsonl", qrels: "shared.tsv" }),
    negatives: sourceOf({ queries: "queries2.jsonl", qrels: "an6.tsv" }),
    negativesPerQuery: 2,
  });
  const set = await open(mix([{ data: first }, { data: second }, { data: third }]), context);
  const find = (part: number, id: string) =>
    numbers(set.queryCount)
      .map((index) => set.group(index, 0))
      .find((group) => group.part === part && set.queryId(group.query) === id)?.query as number;
  const known = (query: number): string[] => [...set.knownPositives(query)].map((passage) => set.passageId(passage));
  expect([known(find(0, "q3")), known(find(1, "q3"))]).toEqual([["d3"], ["o3"]]);
  expect(known(find(0, "q5"))).toEqual(["d5", "d10", "o5"]);
  expect(known(find(1, "q5"))).toEqual(["d5", "d10", "o5"]);
  expect(find(2, "q5")).toBe(find(1, "q5"));
  for (let step = 0; step < 40; step += 1) {
    const groups = planStep(set, step, 8);
    const passagesOf = groups.flatMap((group) => [...group.passages.slice(1)]);
    expect(new Set(passagesOf).size).toBe(passagesOf.length);
    const share = { rank: 0, worldSize: 1, microStep: 0, accumulationSteps: 1, queriesPerRank: 8 };
    const { mask } = buildMicroBatch(set, groups, share);
    const columns = groups.flatMap((group) => [...group.passages]);
    for (const [at, { query }] of groups.entries()) {
      for (const [column, passage] of columns.entries()) {
        if (column === at * 3 || !set.isKnownPositive(query, passage)) continue;
        expect(isMasked(mask[at * columns.length + column] as number)).toBe(true);
      }
    }
  }
  set.close();
});

test("groups of other sizes are refused by name, and a fingerprint follows parts, weights and kind of batches", async () => {
  const { context } = newCollection(files);
  const wide = multiLevel({ sources: [sourceOf({ qrels: "an.tsv", scoreTransform: 1 })], passagesPerQuery: 5 });
  await expect(open(mix([{ data: first }, { data: wide }]), context)).rejects.toMatchObject({
    code: "CONFIG",
    message: expect.stringContaining("part 1 (first) has 3, part 2 (an.tsv) has 5 passages"),
  });
  const prints = new Set<string>();
  for (const data of [
    mix([{ data: first }, { data: second }]),
    mix([{ data: first, weight: 2 }, { data: second }]),
    mix([{ data: second }, { data: first }]),
    mix([{ data: first }, { data: second }], "single"),
    mix([{ data: first }]),
  ]) {
    const set = await open(data, context);
    prints.add(set.fingerprint);
    set.close();
  }
  expect(prints.size).toBe(5);
});
