/** Snapshots survive their process, and damage is seen rather than merged. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { SnapshotStore } from "../../../src/pipeline/snapshots.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-snapshots-"));
});
afterEach(() => rm(folder, { recursive: true }));

const idRanks = Int32Array.from([0, 1, 2, 3]);
const first = {
  session: "worker-0.1",
  units: [0, 1],
  scores: Float32Array.of(3, 1),
  rows: Int32Array.of(2, 0),
  tracked: Float32Array.of(Number.NEGATIVE_INFINITY, 0.5),
};
const search = { key: "key", queryCount: 1, topK: 2, trackedCount: 2 };

test("a second process finds the units and the lists of the first", async () => {
  const store = await SnapshotStore.open(folder, search);
  await store.put({ ...first, units: [0] });
  await store.put(first);
  const reopened = await SnapshotStore.open(folder, search);
  expect([...reopened.doneUnits]).toEqual([0, 1]);
  const second = { session: "worker-0.1", units: [2], scores: Float32Array.of(2, 1), rows: Int32Array.of(3, 1) };
  await reopened.put({ ...second, tracked: Float32Array.of(-0.25, Number.NEGATIVE_INFINITY) });
  const last = await SnapshotStore.open(folder, search);
  const merged = last.merge(idRanks);
  expect([...(last.tracked() ?? [])]).toEqual([-0.25, 0.5]);
  expect([...merged.rows]).toEqual([2, 3]);
  expect([...merged.scores]).toEqual([3, 2]);
});

test("a snapshot of another search is not used", async () => {
  await (await SnapshotStore.open(folder, search)).put(first);
  expect([...(await SnapshotStore.open(folder, { ...search, key: "another model" })).doneUnits]).toEqual([]);
});

test("every flipped bit and every cut is noticed", async () => {
  await (await SnapshotStore.open(folder, search)).put(first);
  const file = join(folder, (await readdir(folder))[0] as string);
  const good = await readFile(file);
  for (let bit = 0; bit < good.length * 8; bit += 3) {
    const bad = Buffer.from(good);
    bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
    await writeFile(file, bad);
    expect((await SnapshotStore.open(folder, search)).doneUnits.size, `bit ${bit}`).toBe(0);
  }
  for (let length = 0; length < good.length; length += 5) {
    await writeFile(file, good.subarray(0, length));
    expect((await SnapshotStore.open(folder, search)).doneUnits.size, `${length} bytes`).toBe(0);
  }
});
