/** Lists of rows of the largest tables: no list, set or map of JavaScript may hold them. */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { countUp, distinctRows, hashRows, keepRows } from "../../../src/data/index.js";
import { liveBytes } from "../../fixtures/live-bytes.js";

test("rows are kept in their order, with their places at hand", () => {
  const rows = Int32Array.of(7, 3, 9, 3);
  expect(keepRows(rows, (row) => row !== 9)).toEqual(Int32Array.of(7, 3, 3));
  expect(keepRows(rows, (_, at) => at % 2 === 1)).toEqual(Int32Array.of(3, 3));
  expect(keepRows(rows, () => false)).toEqual(new Int32Array(0));
  expect(rows).toEqual(Int32Array.of(7, 3, 9, 3));
});

test("what is kept does not lie on V8's heap, where filter() ends at 112 million rows", () => {
  const rows = countUp(1_000_000);
  const heap: number[] = [];
  const isKept = (_: number, at: number): boolean => {
    if (at === 0 || at === rows.length - 1) heap.push(liveBytes().heap);
    return true;
  };
  expect(keepRows(rows, isKept).length).toBe(rows.length);
  const [first, last] = heap as [number, number];
  // A list of them takes 8 MB.
  expect(last - first).toBeLessThan(1_000_000);
});

test("there may be more distinct rows than a set holds", () => {
  const rows = countUp(2 ** 24 + 1);
  rows[0] = 1;
  expect(distinctRows(rows).length).toBe(2 ** 24);
  expect(distinctRows(Int32Array.of(4, 2, 4, 9, 2))).toEqual(Int32Array.of(2, 4, 9));
  expect(distinctRows(new Int32Array(0))).toEqual(new Int32Array(0));
});

test("rows are hashed in pieces as they are in one", () => {
  const rows = countUp(10);
  const whole = createHash("sha256").update(rows).digest("hex");
  expect(hashRows(createHash("sha256"), rows, 3).digest("hex")).toBe(whole);
  expect(hashRows(createHash("sha256"), rows.subarray(4)).digest("hex")).toBe(
    createHash("sha256").update(rows.subarray(4)).digest("hex"),
  );
});
