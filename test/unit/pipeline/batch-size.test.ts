/** Batches that do not fit into a unit of the usual size: as a GPU wants them. */
import { expect, test } from "vitest";
import type { TextTable } from "../../../src/data/types.js";
import { batchSizeOf, unitSizeOf } from "../../../src/pipeline/batch-size.js";
import type { RunContext } from "../../../src/pipeline/context.js";

test("a unit holds a whole batch, unless the user wants smaller ones", () => {
  expect(unitSizeOf({}, 16)).toBe(256);
  expect(unitSizeOf({}, 1_000)).toBe(1_000);
  expect(unitSizeOf({ unitSize: 4 }, 16)).toBe(4);
});

test.each([
  [undefined, 1_024],
  [16, 16],
  [4_096, 4_096],
  [65_536, 4_096],
])("auto with units of %s tries sizes up to %i, on as many texts", async (unitSize, most) => {
  let asked = {};
  const probe = async (job: { rowCount: number; maxBatchSize: number }) => {
    asked = { rowCount: job.rowCount, maxBatchSize: job.maxBatchSize };
    return [{ batchSize: 8, textsPerSecond: 1 }];
  };
  const context = {
    config: { workers: { batchSize: "auto", unitSize } },
    modelSpec: () => ({}),
    runDir: {
      readJson: async () => null,
      updateJson: async (_: string, change: (before: null) => unknown) => change(null),
    },
    pool: async () => ({ probe }),
    events: { emit: () => undefined },
  } as unknown as RunContext;
  const table = { gather: () => new Uint8Array(0) } as unknown as TextTable;
  const rows = Int32Array.from({ length: 5_000 }, (_, row) => row);
  const model = { label: "base", checkpoint: "m" } as unknown as Parameters<typeof batchSizeOf>[1];
  expect(await batchSizeOf(context, model, table, rows)).toBe(8);
  expect(asked).toEqual({ rowCount: most, maxBatchSize: most });
});

test("without a size the machine's default is taken", async () => {
  const context = { config: { workers: {} }, defaultBatchSize: async () => 128 } as unknown as RunContext;
  const model = { label: "base", checkpoint: "m" } as unknown as Parameters<typeof batchSizeOf>[1];
  expect(await batchSizeOf(context, model, {} as TextTable, new Int32Array(0))).toBe(128);
});
