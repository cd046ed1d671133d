/** Numbers and texts as people read them, wide characters included. */
import fc from "fast-check";
import { expect, test } from "vitest";
import * as format from "../../../src/report/format.js";
import { cleanLines, displayWidth, fit, oneLine, truncate } from "../../../src/report/text-width.js";

test.each([
  [0.04, "0.0 s"],
  [9.94, "9.9 s"],
  [9.96, "10 s"],
  [59.6, "1 min 00 s"],
  [252, "4 min 12 s"],
  [3599.7, "1 h 00 min"],
  [3840, "1 h 04 min"],
  [200_000, "2 d 7 h"],
  [Number.NaN, "–"],
])("%d seconds read as %s", (seconds, text) => {
  expect(format.formatDuration(seconds)).toBe(text);
});

test.each([
  [190.2, "190/s"],
  [12_345, "12,345/s"],
  [3.81, "3.8/s"],
  [0.384, "0.38/s"],
  [0.0042, "0.004/s"],
  [0, "0.00/s"],
])("a rate of %d reads as %s", (rate, text) => {
  expect(format.formatRate(rate)).toBe(text);
});

test.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1 kB"],
  [999_960, "1 MB"],
  [90_868_376, "90.9 MB"],
  [24e9, "24 GB"],
  [1_234_567_890_123_456, "1,234.6 TB"],
])("%d bytes read as %s", (bytes, text) => {
  expect(format.formatBytes(bytes)).toBe(text);
});

test("a share is never 100 % before all is done", () => {
  expect(format.formatShare(0.9999)).toBe("99 %");
  expect(format.formatShare(0.29)).toBe("29 %");
  expect(format.formatShare(1)).toBe("100 %");
});

test.each([
  ["abc", 3],
  ["東京", 4],
  ["한국어", 6],
  ["ｆｕｌｌ", 8],
  ["é", 1],
  ["e\u0301", 1],
  ["👩‍👩‍👧", 2],
  ["🇯🇵", 2],
  ["a\u200bb", 2],
  ["…", 1],
])("%s takes %d columns", (text, columns) => {
  expect(displayWidth(text)).toBe(columns);
});

test("a cut or filled text is exactly as wide as asked for", () => {
  const texts = fc.string({ unit: fc.constantFrom("a", "é", "東", "👍", "ｗ", "-", "e\u0301") });
  fc.assert(
    fc.property(texts, fc.integer({ min: 2, max: 30 }), (text, columns) => {
      expect(displayWidth(truncate(text, columns))).toBeLessThanOrEqual(columns);
      expect(displayWidth(fit(text, columns))).toBe(columns);
      expect(displayWidth(fit(text, columns, "right"))).toBe(columns);
    }),
  );
});

test("a line made of any text holds no control characters", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(oneLine(text)).not.toMatch(/\p{Cc}/u);
    }),
  );
});

test("a text of several lines keeps them and their indentation, and nothing that repaints the terminal", () => {
  expect(cleanLines("error: a\u001b[31mb\u001b]0;own\u0007.\r\n  - first\u0000\n\n    second")).toBe(
    "error: ab.\n  - first\n\n    second",
  );
});

test("a cell of a table is a line of visible characters, whatever it holds", () => {
  expect(format.tableLines(["query\u001b[2J", "value"], [["q1\u001b[31m\u001b]0;own\u0007\nq2", "0.5"]])).toEqual([
    "query  value",
    "─────  ─────",
    "q1 q2    0.5",
  ]);
});

test("a bar is as wide as asked for at every share", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 1, max: 80 }), (share, columns) => {
      const { done, rest } = format.progressBar(share, columns);
      expect(displayWidth(done + rest)).toBe(columns);
    }),
  );
  expect(format.progressBar(1, 4)).toEqual({ done: "━━━━", rest: "" });
});

test("a sparkline falls with the values, averages neighbours, and leaves a gap for NaN", () => {
  expect(format.sparkline([8, 7, 6, 5, 4, 3, 2, 1], 8)).toBe("█▇▆▅▄▃▂▁");
  expect(format.sparkline([4, 4, 2, 2, 1, 1], 3)).toBe("█▃▁");
  expect(format.sparkline([2, Number.NaN, 1], 3)).toBe("█ ▁");
  expect(format.sparkline([1, 1], 8)).toBe("▁▁");
  expect(format.sparkline([], 8)).toBe("");
});

test("a table is aligned also with wide characters", () => {
  const lines = format.tableLines(
    ["コーパス", "nDCG@10"],
    [
      ["東京大学", "0.6451"],
      ["scifact", "0.71"],
    ],
  );
  expect(`\n${lines.join("\n")}\n`).toMatchInlineSnapshot(`
    "
    コーパス  nDCG@10
    ────────  ───────
    東京大学   0.6451
    scifact      0.71
    "
  `);
});
