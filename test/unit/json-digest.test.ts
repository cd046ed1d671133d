/** The name of a value in keys on the disk: it must not change between versions, or nothing there would be found again. */
import { expect, test } from "vitest";
import { jsonDigest } from "../../src/json-digest.js";

test("a digest is the first digits of the SHA-256 of the value's JSON in UTF-8", () => {
  const value = ["passages", 1.5, null, { b: "é", a: [] }];
  expect(jsonDigest(value)).toBe("97024f4cd8ef89ac1e63fb9fd050d9099e9c8d3091421ef1257663aea530c454");
  expect(jsonDigest(value, 12)).toBe("97024f4cd8ef");
});
