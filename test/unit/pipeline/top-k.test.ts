/** Merging gives what one sort over everything would give, however the passages were spread. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { mergeTopK, refuseTooMany, withoutPassages } from "../../../src/pipeline/top-k.js";

interface Entry {
  readonly row: number;
  readonly score: number;
}

function inOrder(idRanks: Int32Array) {
  return (a: Entry, b: Entry): number => b.score - a.score || (idRanks[b.row] as number) - (idRanks[a.row] as number);
}

function toList(entries: readonly Entry[], topK: number) {
  const scores = new Float32Array(topK).fill(Number.NEGATIVE_INFINITY);
  const rows = new Int32Array(topK).fill(-1);
  for (const [at, { row, score }] of entries.slice(0, topK).entries()) {
    scores[at] = score;
    rows[at] = row;
  }
  return { scores, rows };
}

test("merged lists equal one sort over all passages, with ties and with passages done twice", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 12 }),
      fc.infiniteStream(fc.nat(1000)),
      (scores, partCount, topK, random) => {
        const next = (): number => random.next().value as number;
        const idRanks = Int32Array.from(scores, (_, row) => row);
        for (let at = idRanks.length - 1; at > 0; at--) {
          const other = next() % (at + 1);
          [idRanks[at], idRanks[other]] = [idRanks[other] as number, idRanks[at] as number];
        }
        const all = scores.map((score, row) => ({ row, score }));
        const parts: Entry[][] = Array.from({ length: partCount }, () => []);
        for (const entry of all) {
          parts[next() % partCount]?.push(entry);
          if (next() % 4 === 0) parts[next() % partCount]?.push(entry);
        }
        const lists = parts.map((part) => {
          const unique = [...new Map(part.map((entry) => [entry.row, entry])).values()];
          return toList(unique.sort(inOrder(idRanks)), topK);
        });
        const merged = mergeTopK(lists, 1, topK, idRanks);
        const expected = toList([...all].sort(inOrder(idRanks)), topK);
        expect([...merged.rows]).toEqual([...expected.rows]);
        expect([...merged.scores]).toEqual([...expected.scores]);
      },
    ),
    { numRuns: 500 },
  );
});

test("more results than an array holds are refused with the numbers and the way out", () => {
  expect(() => refuseTooMany(4_294_967, 1_000)).not.toThrow();
  expect(() => refuseTooMany(8_841_823, 1_000)).toThrow(
    expect.objectContaining({
      code: "CONFIG",
      message: "8,841,823 queries with topK 1,000 have 8,841,823,000 results, and a search 4,294,967,296 at most",
      hint: expect.stringContaining("smaller topK"),
    }),
  );
});

test("passages that a query is to go without are left out, and what comes behind them moves up", () => {
  const ranked = {
    queryCount: 3,
    topK: 3,
    rows: Int32Array.of(5, 1, 2, 0, 5, -1, 3, 4, 5),
    scores: Float32Array.of(9, 8, 7, 6, 5, Number.NEGATIVE_INFINITY, 4, 3, 2),
  };
  const { rows, scores, topK } = withoutPassages(ranked, 2, (query, row) => row === [5, 5, 0][query]);
  expect(topK).toBe(2);
  expect([...rows]).toEqual([1, 2, 0, -1, 3, 4]);
  expect([...scores]).toEqual([8, 7, 6, Number.NEGATIVE_INFINITY, 4, 3]);
});
