/** A cross-encoder's say: denoising, order, labels; and random passages for queries that went short. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { drawing } from "../../../../src/pipeline/mining/fill.js";
import { type HeldOut, holdOut, outcome } from "../../../../src/pipeline/mining/held-out.js";
import { pairsOf, type RescoreRules, rescored } from "../../../../src/pipeline/mining/rescore.js";
import { choose, type Selection, siftQuery } from "../../../../src/pipeline/mining/select.js";
import type { MiningRules, QueryCase, TextIdentity } from "../../../../src/pipeline/mining/types.js";
import { anyCase, DISTINCT, list, PLAIN_RULES, query, selectNegatives, textsOf } from "./cases.js";
import { slowNegatives } from "./slow.js";

/** All of it for one query, with an in-memory scorer. */
function mined(
  given: QueryCase,
  rules: MiningRules,
  texts: TextIdentity,
  limits: RescoreRules,
  score: (row: number) => number,
): Selection {
  const sifted = siftQuery(given, rules, texts);
  const scores = Float32Array.from(pairsOf(sifted, limits), ({ passageRow }) => score(passageRow));
  return choose(rescored(sifted, scores, limits, rules.marginTo), rules);
}

const anyLimit = fc.option(fc.constantFrom(-0.5, 0, 0.25, 0.5), { nil: undefined });
const anyMargin = fc.option(fc.constantFrom(0, 0.125, 0.25), { nil: undefined });
const anyRescore = fc.record({
  maxScore: anyLimit,
  minScore: fc.option(fc.constant(-0.25), { nil: undefined }),
  absoluteMargin: anyMargin,
  relativeMargin: anyMargin,
  topK: fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined }),
  orderBy: fc.constantFrom("retriever", "crossEncoder"),
});

test("with a cross-encoder, too, any rules give what the slow reference gives, and all candidates are accounted for", () => {
  fc.assert(
    fc.property(anyCase, anyRescore, fc.nat(6), ({ query: given, rules, texts }, limits, twist) => {
      const score = (row: number): number => (((row * 7 + twist * 3) % 11) - 4) / 8;
      const fast = mined(given, rules, texts, limits as RescoreRules, score);
      const slow = slowNegatives(given, rules, texts, { rules: limits as RescoreRules, score });
      expect(fast.negatives.map(({ row }) => row)).toEqual(slow.negatives);
      expect(fast.candidates.map(({ row }) => row)).toEqual(slow.left);
      for (const { row, label } of fast.negatives) expect(label).toBe(score(row));
      const dropped = Object.values(fast.dropped).reduce((sum, count) => sum + count, 0);
      expect(dropped + fast.candidates.length).toBe(fast.candidateCount);
    }),
    { numRuns: 1_000 },
  );
});

describe("denoising", () => {
  const given = query([list([10, 0.9], [11, 0.8], [12, 0.7], [13, 0.6])], [10, 99]);
  const scores: Readonly<Record<number, number>> = { 10: 0.75, 99: 0.5, 11: 0.625, 12: 0.25, 13: 0.375 };
  const score = (row: number): number => scores[row] as number;
  const rows = (limits: Partial<RescoreRules>): number[] =>
    mined(given, PLAIN_RULES, DISTINCT, { orderBy: "retriever", ...limits }, score).negatives.map(({ row }) => row);

  test("drops what the cross-encoder takes for relevant: above a score, or too near to the positive's score", () => {
    expect(rows({})).toEqual([11, 12, 13]);
    expect(rows({ maxScore: 0.4 })).toEqual([12, 13]);
    expect(rows({ absoluteMargin: 0.25 })).toEqual([12]);
    expect(rows({ relativeMargin: 0.25 })).toEqual([12, 13]);
  });

  test("keeps what lies exactly at a limit, though its scores are float32", () => {
    const tenths = (row: number): number => ({ 10: 0.9, 99: 0.9, 11: 0.7, 12: 0.3, 13: 0.1 })[row] as number;
    const left = (limits: Partial<RescoreRules>): number[] =>
      mined(given, PLAIN_RULES, DISTINCT, { orderBy: "retriever", ...limits }, tenths).negatives.map(({ row }) => row);
    expect(left({ maxScore: 0.3 })).toEqual([12, 13]);
    expect(left({ minScore: 0.7 })).toEqual([11]);
    expect(left({ absoluteMargin: 0.2 })).toEqual([11, 12, 13]);
  });

  test("keeps the retriever's order, or takes the cross-encoder's", () => {
    expect(rows({ maxScore: 0.4, orderBy: "crossEncoder" })).toEqual([13, 12]);
  });

  test("scores positives outside of the list as well, so every label is known", () => {
    const { positiveLabels } = mined(given, PLAIN_RULES, DISTINCT, { orderBy: "retriever" }, score);
    expect(positiveLabels).toEqual([0.75, 0.5]);
  });
});

describe("random passages", () => {
  const pool = Int32Array.from({ length: 20 }, (_, row) => row);
  const texts = textsOf((row) => (row < 6 ? "copy" : `${row}`));
  const fill = (given: QueryCase, rules: MiningRules, from = pool, known = texts): number[] => {
    const selection = selectNegatives(given, rules, known);
    const draw = drawing(selection, given, rules, known, from);
    return draw(rules.negativesPerQuery - selection.negatives.length).map(({ row }) => row);
  };

  test("fill up with what nobody found, judged or copied, the same for the same seed and query", () => {
    const given = query([list([10, 0.9], [11, 0.8])], [7], [8]);
    const rules = { ...PLAIN_RULES, negativesPerQuery: 6 };
    const found = fill(given, rules);
    expect(found).toHaveLength(4);
    for (const row of found) expect([7, 8, 10, 11]).not.toContain(row);
    expect(found.filter((row) => row < 6).length).toBeLessThan(2);
    expect(fill(given, rules)).toEqual(found);
    expect(fill(given, { ...rules, seed: 1 })).not.toEqual(found);
  });

  test("give up where the corpus has no more", () => {
    expect(fill(query([list([10, 0.9])]), PLAIN_RULES, Int32Array.of(10, 4), DISTINCT)).toHaveLength(1);
  });

  test("are those that the user's filter keeps", () => {
    const rules: MiningRules = { ...PLAIN_RULES, negativesPerQuery: 6, accepts: (_, row) => row % 2 === 0 };
    const found = fill(query([list([10, 0.9], [11, 0.8])]), rules, pool, DISTINCT);
    expect(found).toHaveLength(5);
    for (const row of found) expect(row % 2).toBe(0);
  });
});

describe("a held-out positive", () => {
  const close = list([10, 0.9], [11, 0.85], [12, 0.7], [13, 0.2]);
  const found = (given: QueryCase, rules: MiningRules): HeldOut | null => {
    const held = holdOut(given, rules, DISTINCT);
    return held && outcome(held, held.sifted === null ? undefined : choose(held.sifted, rules));
  };

  test("is left where the rules would have let it through without its label", () => {
    const given = query([close], [10, 11]);
    expect(found(given, PLAIN_RULES)).toEqual({ isRetrieved: true, isLeft: true });
    const strict = { ...PLAIN_RULES, limits: [{ maxScore: 0.75 }] };
    expect(found(given, strict)).toEqual({ isRetrieved: true, isLeft: false });
  });

  test("is not tried where no other positive stays", () => {
    expect(holdOut(query([close], [10]), PLAIN_RULES, DISTINCT)).toBeNull();
  });

  test("that nobody retrieved cannot become a negative", () => {
    expect(found(query([close], [98, 99]), PLAIN_RULES)).toEqual({ isRetrieved: false, isLeft: false });
  });
});
