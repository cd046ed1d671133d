/** Counts read as people write them. */
import { expect, test } from "vitest";
import { counted } from "../../src/counted.js";

test.each([
  [1, "queries", "1 query"],
  [1, "passages", "1 passage"],
  [1, "GPUs", "1 GPU"],
  [0, "lines", "0 lines"],
  [5183, "queries", "5,183 queries"],
])("%d of %s reads as %s", (count, many, text) => {
  expect(counted(count, many)).toBe(text);
});

test("a singular of its own takes the place of the one that is made", () => {
  const read = (count: number): string => counted(count, "lines repeat an id", "line repeats an id");
  expect([read(1), read(2)]).toEqual(["1 line repeats an id", "2 lines repeat an id"]);
});
