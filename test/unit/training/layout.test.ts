/** How a global batch is shared, and what the refusal of an uneven one says. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { deriveLayout, negativesScope } from "../../../src/training/index.js";

const refused = (globalBatchSize: number, ranks: number, queriesPerRank?: number): unknown => {
  try {
    return deriveLayout({ globalBatchSize, ranks, queriesPerRank });
  } catch (error) {
    return error;
  }
};

test("without queriesPerRank the batch is shared equally and nothing is accumulated", () => {
  expect(deriveLayout({ globalBatchSize: 32, ranks: 4, queriesPerRank: undefined })).toEqual({
    worldSize: 4,
    queriesPerRank: 8,
    accumulationSteps: 1,
  });
});

test("queriesPerRank is made up for by accumulation, which shrinks the pool of negatives", () => {
  const layout = deriveLayout({ globalBatchSize: 32, ranks: 2, queriesPerRank: 4 });
  expect(layout).toEqual({ worldSize: 2, queriesPerRank: 4, accumulationSteps: 4 });
  expect(negativesScope(layout, 3)).toBe(24);
});

test("a batch that the ranks cannot share names the numbers that would work", () => {
  expect(refused(32, 3)).toMatchObject({
    code: "CONFIG",
    message: "train.globalBatchSize 32 cannot be shared equally by 3 ranks.",
    hint: "Set train.globalBatchSize to 30 or 33, or train.ranks to 1, 2, 4, 8, 16 or 32.",
  });
  expect(refused(2, 4)).toMatchObject({ hint: "Set train.globalBatchSize to 4, or train.ranks to 1 or 2." });
});

test("a queriesPerRank that does not divide a rank's share names the ones that would", () => {
  expect(refused(24, 2, 5)).toMatchObject({
    code: "CONFIG",
    message: expect.stringContaining("the 12 queries that each of 2 ranks has"),
    hint: "Set train.queriesPerRank to 1, 2, 3, 4, 6 or 12, or train.globalBatchSize to 20 or 30.",
  });
});

test("every layout that is accepted makes up exactly the global batch", () => {
  const size = fc.integer({ min: 1, max: 512 });
  fc.assert(
    fc.property(size, fc.integer({ min: 1, max: 16 }), fc.option(size, { nil: undefined }), (batch, ranks, queries) => {
      const layout = refused(batch, ranks, queries);
      if (layout instanceof Error) return;
      const { worldSize, queriesPerRank, accumulationSteps } = layout as ReturnType<typeof deriveLayout>;
      expect(worldSize * queriesPerRank * accumulationSteps).toBe(batch);
    }),
  );
});
