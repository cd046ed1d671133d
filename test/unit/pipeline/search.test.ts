/** How large a search's tiles are, and what it tells of the passages it found. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { TextTable } from "../../../src/data/types.js";
import { excerpt, hitsOf } from "../../../src/pipeline/search.js";
import { tileOf } from "../../../src/pipeline/search-tiles.js";
import { MAX_FRAME_BYTES } from "../../../src/protocol/codec.js";

test("a tile's snapshot fits into frames, and its vectors into one array, with the store and without", () => {
  const [topK, dimension] = [fc.integer({ min: 1, max: 1 << 22 }), fc.integer({ min: 1, max: 1 << 16 })];
  fc.assert(
    fc.property(topK, dimension, fc.boolean(), (depth, width, isStored) => {
      const queries = tileOf(depth, width, isStored);
      expect(queries).toBeGreaterThanOrEqual(1);
      expect(queries * depth * 4).toBeLessThan(MAX_FRAME_BYTES);
      expect(queries * width * 4).toBeLessThan(2 ** 31);
    }),
  );
});

test("without the store half a million queries are one tile where they fit, for each tile encodes all passages", () => {
  expect(tileOf(200, 1_024, false)).toBeGreaterThan(502_939);
  expect(tileOf(200, 4_096, false)).toBe(131_071);
  expect(tileOf(1_000, 768, false)).toBe(134_217);
  expect(tileOf(100, 768, true)).toBe(65_536);
  expect(tileOf(1_000, 768, true)).toBe(16_777);
});

test("a passage is shown on one line, backslashes as they are, and cut where it is long", () => {
  expect(excerpt("", "amber\n\t \\section  basalt")).toBe("amber \\section basalt");
  expect(excerpt("Stones", "x".repeat(200))).toMatch(/^Stones · x{90}…$/);
});

test("the passages of a query are read when it is written, not those of all queries at once", () => {
  const read: number[] = [];
  const text = (row: number): string => {
    read.push(row);
    return `text ${row}`;
  };
  const queries = { id: (row: number) => `q${row}`, text: (row: number) => `query ${row}` } as TextTable;
  const passages = { qualifiedId: (row: number) => `d${row}`, title: () => "", text };
  const rows = Int32Array.of(4, 7, 5, -1);
  const ranked = { queryCount: 2, topK: 2, scores: Float32Array.of(3, 2, 1, 0), rows };
  const hits = hitsOf(ranked, Int32Array.of(0, 3), { queries, passages });
  expect(hits.next().value).toMatchObject({ id: "q0", passages: [{ id: "d4", score: 3 }, { id: "d7" }] });
  expect(read).toEqual([4, 7]);
  expect([...hits]).toEqual([
    { id: "q3", text: "query 3", passages: [{ id: "d5", score: 1, title: "", text: "text 5" }] },
  ]);
});
