/** Sampling: seeded, without replacement, and as likely as it says. */
import { expect, test } from "vitest";
import { sample } from "../../../../src/pipeline/mining/sample.js";
import type { Candidate } from "../../../../src/pipeline/mining/types.js";
import { PLAIN_RULES } from "./cases.js";

const candidates = [0.9, 0.8, 0.7, 0.5].map(
  (score, rank): Candidate => ({ row: rank, retriever: 0, scores: [score], rank, score, label: score }),
);

/** How often each passage is drawn over many queries. */
function shares(rules: Partial<typeof PLAIN_RULES>, wanted: number): number[] {
  const queries = 20_000;
  const counts = [0, 0, 0, 0];
  for (let row = 0; row < queries; row += 1) {
    for (const { row: passage } of sample(candidates, { ...PLAIN_RULES, ...rules, negativesPerQuery: wanted }, row)) {
      counts[passage] = (counts[passage] as number) + 1 / queries;
    }
  }
  return counts;
}

test("random takes each candidate equally often", () => {
  for (const share of shares({ sampling: "random" }, 2)) expect(Math.abs(share - 0.5)).toBeLessThan(0.015);
});

test("weighted takes one by the softmax of the scores", () => {
  const weights = candidates.map(({ score }) => Math.exp(score / 0.2));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  for (const [index, share] of shares({ sampling: "weighted", temperature: 0.2 }, 1).entries()) {
    expect(Math.abs(share - (weights[index] as number) / sum)).toBeLessThan(0.015);
  }
});

test("weighted takes several as if drawn one after the other from those that are left", () => {
  const weights = candidates.map(({ score }) => Math.exp(score / 0.2));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  // Not drawn first, then not drawn from the others: the chance to be among two.
  const expected = weights.map((weight, index) => {
    const first = weight / sum;
    const second = weights.reduce(
      (total, other, at) => (at === index ? total : total + (other / sum) * (weight / (sum - other))),
      0,
    );
    return first + second;
  });
  for (const [index, share] of shares({ sampling: "weighted", temperature: 0.2 }, 2).entries()) {
    expect(Math.abs(share - (expected[index] as number))).toBeLessThan(0.015);
  }
});

test("a query's choice is its own and the seed's: the same wherever it is made, another for another", () => {
  const rules = { ...PLAIN_RULES, sampling: "random", negativesPerQuery: 2 } as const;
  const choice = (seed: number, row: number): number[] =>
    sample(candidates, { ...rules, seed }, row).map(({ rank }) => rank);
  expect(choice(42, 7)).toEqual(choice(42, 7));
  const choices = Array.from({ length: 40 }, (_, row) => choice(42, row).join());
  expect(new Set(choices).size).toBe(6);
  expect(Array.from({ length: 40 }, (_, row) => choice(43, row).join())).not.toEqual(choices);
});
