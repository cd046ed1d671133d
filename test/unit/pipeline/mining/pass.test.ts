/** A pass with a cross-encoder: what is held out and what is filled up meets every rule that other candidates meet. */
import { expect, test } from "vitest";
import type { Rescore } from "../../../../src/pipeline/mining/pass.js";
import type { RescoreRules } from "../../../../src/pipeline/mining/rescore.js";
import type { MiningRules } from "../../../../src/pipeline/mining/types.js";
import { mineToFiles } from "./mined-files.js";

function rescoring(score: (row: number) => number, limits: Partial<RescoreRules> = {}): Rescore {
  return {
    rules: { orderBy: "retriever", ...limits },
    scorer: { score: async (pairs) => Float32Array.from(pairs, ({ passageRow }) => score(passageRow)) },
    queriesAtOnce: 1_000,
  };
}

/** In how many of the windows of one rank each a known positive of the only query with two of them would have been left. */
async function windowsOf(rescore: Rescore | null): Promise<number[]> {
  const left: number[] = [];
  for (let rank = 0; rank < 7; rank += 1) {
    const rules: Partial<MiningRules> = { ranksOver: "kept", rangeMin: rank, rangeMax: rank + 1 };
    const { report } = await mineToFiles({ rules, rescore });
    expect(report.heldOut).toMatchObject({ tried: 1, retrieved: 1 });
    left.push(report.heldOut.left);
  }
  return left;
}

test("a held-out positive has one rank among what is kept, whether a cross-encoder looks at it or not", async () => {
  const without = await windowsOf(null);
  expect(without.reduce((sum, count) => sum + count)).toBe(1);
  expect(await windowsOf(rescoring(() => 0.5))).toEqual(without);
});

test("what the cross-encoder refuses is not counted before a held-out positive, and it may be refused itself", async () => {
  const judged = [0, 5];
  const kept = rescoring((row) => (judged.includes(row) ? 0.1 : 0.9), { maxScore: 0.5 });
  expect(await windowsOf(kept)).toEqual([1, 0, 0, 0, 0, 0, 0]);
  const refused = rescoring((row) => (judged.includes(row) ? 0.9 : 0.1), { maxScore: 0.5 });
  expect(await windowsOf(refused)).toEqual([0, 0, 0, 0, 0, 0, 0]);
});

test("random passages pass the user's filter and the cross-encoder's limits, and others are drawn for those refused", async () => {
  const score = (row: number): number => (row % 4 === 0 ? 0.9 : 0.1);
  const mined = await mineToFiles({
    fillRandom: true,
    // Nothing that was retrieved is left; each query has four passages that were not.
    rules: { limits: [{ maxScore: 0 }], accepts: (_, row) => row % 2 === 0 },
    rescore: rescoring(score, { maxScore: 0.5 }),
  });
  const drawn = mined.judgements.flatMap((line) => {
    const [, query, passage] = /^\ufeff?what is "(\d)"\? \| .*passage (\d+) \| 0 \|/s.exec(line) ?? [];
    return query === undefined ? [] : [[Number(query), Number(passage)]];
  });
  expect(mined.report.filled).toBe(4);
  // Of the rows 8 to 11, 9 to 12, …: the even ones that are no multiple of four.
  expect(drawn.sort()).toEqual([
    [0, 10],
    [1, 10],
    [2, 10],
    [3, 2],
  ]);
});
