/** Texts that cannot be encoded are found one by one, whatever they do to the workers. */
import { afterEach, expect, it } from "vitest";
import { findPoison } from "../../src/pipeline/poison.js";
import type { FailedUnit } from "../../src/pool/types.js";
import { bytesOf } from "../../src/protocol/tensor.js";
import { collectVectors, type FakePool, fakeModel, fakeUnits, openFakePool } from "../fixtures/fake-pool.js";

let fake: FakePool | null = null;
afterEach(async () => {
  await fake?.close();
  fake = null;
});

it("finds texts that kill their worker and texts with broken vectors, and nothing else", async () => {
  fake = await openFakePool({ dieRows: [19], nanRows: [2, 7, 40] }, { maxAttempts: 2 });
  const { pool } = fake;
  const units = fakeUnits(6, 8);
  const { job, vectors } = collectVectors(units);
  const { failed } = await pool.encode(job);
  expect([...vectors.keys()].sort()).toEqual([1, 3, 4]);
  const unitRows = ({ unit }: FailedUnit): Int32Array => units.rows(Number(unit.slice(2)));
  const poison = await findPoison(
    pool,
    { phase: "test", model: fakeModel, side: "passage", gather: (rows) => bytesOf(rows) },
    failed.map((unit) => ({ ...unit, unitRows: unitRows(unit) })),
  );
  expect(poison.map(({ row, code }) => [row, code])).toEqual([
    [2, "DATA"],
    [7, "DATA"],
    [19, "WORKER"],
    [40, "DATA"],
  ]);
});

it("tells the batch size that a worker found best", async () => {
  fake = await openFakePool({}, { count: 1 });
  const rows = Int32Array.from([0, 1, 2]);
  const probed = { model: fakeModel, side: "passage" } as const;
  const job = { probed, frame: bytesOf(rows), rowCount: 3, maxBatchSize: 64 };
  expect(await fake.pool.probe(job)).toEqual([{ batchSize: 8, textsPerSecond: 100 }]);
  // The same workers go on with other work.
  const { job: encoding, vectors } = collectVectors(fakeUnits(3));
  await fake.pool.encode(encoding);
  expect(vectors.size).toBe(3);
});
