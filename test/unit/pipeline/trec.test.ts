/** Scores written as text read back as the very same float32. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { formatFloat32 } from "../../../src/data/index.js";

test("a formatted score reads back as the same float32", () => {
  fc.assert(
    fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
      expect(Math.fround(Number(formatFloat32(value)))).toBe(value === 0 ? Number(formatFloat32(value)) : value);
    }),
    { numRuns: 5_000 },
  );
});

test("short scores stay short", () => {
  expect([0.5, 1, Math.fround(0.1), Math.fround(0.7123456)].map(formatFloat32)).toEqual([
    "0.5",
    "1",
    "0.1",
    "0.7123456",
  ]);
});
