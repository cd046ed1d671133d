/** The distance behind "did you mean". */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { editDistance, nearest } from "../../src/nearest.js";

const word = fc.string({ unit: fc.constantFrom("a", "b", "c", "d"), maxLength: 8 });

describe("the edit distance", () => {
  test("counts a swap of neighbours as one edit", () => {
    expect(editDistance("ndgc", "ndcg")).toBe(1);
    expect(editDistance("kitten", "sitting")).toBe(3);
  });

  test("is zero for equal words only, the same both ways, and never above the longer length", () => {
    fc.assert(
      fc.property(word, word, (a, b) => {
        const distance = editDistance(a, b);
        expect(distance === 0).toBe(a === b);
        expect(distance).toBe(editDistance(b, a));
        expect(distance).toBeLessThanOrEqual(Math.max(a.length, b.length));
        expect(distance).toBeGreaterThanOrEqual(Math.abs(a.length - b.length));
      }),
    );
  });
});

describe("the nearest name", () => {
  test("is found across case, dashes and underscores", () => {
    expect(nearest("Learning_Rate", ["weightDecay", "learningRate"])).toBe("learningRate");
  });

  test("is none when everything is far", () => {
    expect(nearest("xyzzy", ["learningRate", "seed"])).toBeNull();
  });
});
