/** What `quarry measure` prints of the values. */
import { expect, test } from "vitest";
import { describeMeasured } from "../../../src/cli/measure.js";

test("the values of very many queries stand in one table above the means", () => {
  const ids = Array.from({ length: 150_000 }, (_, row) => `q${row}`);
  const found = {
    mean: { "RR@10": 0.5, "nDCG@10": 0.25 },
    queries: Object.fromEntries(ids.map((id) => [id, { "RR@10": 0.5, "nDCG@10": 0.25 }])),
    queryCount: ids.length,
    withoutResults: 2,
    unjudged: 0,
  };
  const lines = describeMeasured(found, { perQuery: true }).split("\n");
  expect([...lines.slice(0, 3), ...lines.slice(-6)]).toEqual([
    "query     RR@10  nDCG@10",
    "───────  ──────  ───────",
    "q0       0.5000   0.2500",
    "q149998  0.5000   0.2500",
    "q149999  0.5000   0.2500",
    "",
    "RR@10    0.5000",
    "nDCG@10  0.2500",
    "(150,000 queries; 2 judged ones without results counted as 0)",
  ]);
});
