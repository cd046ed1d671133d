/** Snapshots survive their process, damage is seen rather than merged, and what dead workers left becomes one file. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
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
const second = {
  session: "worker-0.2",
  units: [2],
  scores: Float32Array.of(2, 1),
  rows: Int32Array.of(3, 1),
  tracked: Float32Array.of(-0.25, Number.NEGATIVE_INFINITY),
};
/** Unit 1 once more, and the same passages with it. */
const third = {
  session: "worker-1.1",
  units: [1, 3],
  scores: Float32Array.of(3, 0.5),
  rows: Int32Array.of(2, 1),
  tracked: Float32Array.of(Number.NEGATIVE_INFINITY, 0.5),
};
const search = { key: "key", queryCount: 1, topK: 2, trackedCount: 2 };

const open = (identity = search): Promise<SnapshotStore> => SnapshotStore.open(folder, identity, idRanks);

/** What a store comes to, as plain values. */
async function contentOf(store: SnapshotStore): Promise<unknown> {
  const { scores, rows, tracked } = await store.merge();
  return { units: [...store.doneUnits].sort(), scores: [...scores], rows: [...rows], tracked: [...(tracked ?? [])] };
}

/** Leaves what three lives of an earlier process would; gives the files' bytes by name. */
async function leaveThreeLives(): Promise<Map<string, Buffer>> {
  const store = await open();
  for (const snapshot of [first, second, third]) await store.put(snapshot);
  const files = (await readdir(folder)).sort();
  expect(files).toHaveLength(3);
  return new Map(await Promise.all(files.map(async (file) => [file, await readFile(join(folder, file))] as const)));
}

const OF_THREE = { units: [0, 1, 2, 3], scores: [3, 2], rows: [2, 3], tracked: [-0.25, 0.5] };

test("a second process finds the units and the lists of the first", async () => {
  const store = await open();
  await store.put({ ...first, units: [0] });
  await store.put(first);
  const reopened = await open();
  expect([...reopened.doneUnits]).toEqual([0, 1]);
  await reopened.put({ ...second, session: first.session });
  expect(await contentOf(await open())).toEqual({ ...OF_THREE, units: [0, 1, 2] });
});

test("what dead workers of an earlier process left is one file for the next one, and so is a search that is done", async () => {
  await leaveThreeLives();
  const store = await open();
  expect(await readdir(folder)).toEqual(["g2-merged.topk"]);
  expect([...store.doneUnits].sort()).toEqual([0, 1, 2, 3]);
  await store.put({ ...second, units: [4], scores: Float32Array.of(9, 1), rows: Int32Array.of(0, 1) });
  const content = { ...OF_THREE, units: [0, 1, 2, 3, 4], scores: [9, 3], rows: [0, 2] };
  expect(await contentOf(store)).toEqual(content);
  expect(await readdir(folder)).toEqual(["g2-merged.topk"]);
  expect(await contentOf(await open())).toEqual(content);
});

test("a kill at any moment of merging loses nothing and counts nothing twice", async () => {
  const parts = [...(await leaveThreeLives())];
  await open();
  const merged = await readFile(join(folder, "g2-merged.topk"));
  const half = merged.subarray(0, merged.length / 2);
  /** Before the merged file is whole all parts are there, afterwards any of them may be. */
  const moments = [
    [...parts, [".g2-merged.topk.0123456789ab.quarry-tmp", half] as const],
    ...Array.from({ length: 2 ** parts.length }, (_, left) => [
      ...parts.filter((_part, at) => ((left >> at) & 1) === 1),
      ["g2-merged.topk", merged] as const,
    ]),
  ];
  expect(moments).toHaveLength(9);
  for (const files of moments) {
    await rm(folder, { recursive: true });
    await mkdir(folder);
    for (const [file, bytes] of files) await writeFile(join(folder, file), bytes);
    expect(await contentOf(await open())).toEqual(OF_THREE);
    expect(await readdir(folder)).toHaveLength(1);
  }
});

test("parts stay until what stands for them is written", async () => {
  const parts = await leaveThreeLives();
  await mkdir(join(folder, "g2-merged.topk"));
  await expect(open()).rejects.toMatchObject({ code: "ENVIRONMENT" });
  for (const [file, bytes] of parts) expect(await readFile(join(folder, file))).toEqual(bytes);
});

test("a snapshot of another search is not used", async () => {
  await (await open()).put(first);
  expect([...(await open({ ...search, key: "another model" })).doneUnits]).toEqual([]);
});

test("every flipped bit and every cut is noticed", async () => {
  await (await open()).put(first);
  const file = join(folder, (await readdir(folder))[0] as string);
  const good = await readFile(file);
  for (let bit = 0; bit < good.length * 8; bit += 3) {
    const bad = Buffer.from(good);
    bad[bit >> 3] = (bad[bit >> 3] as number) ^ (1 << (bit & 7));
    await writeFile(file, bad);
    expect((await open()).doneUnits.size, `bit ${bit}`).toBe(0);
  }
  for (let length = 0; length < good.length; length += 5) {
    await writeFile(file, good.subarray(0, length));
    expect((await open()).doneUnits.size, `${length} bytes`).toBe(0);
  }
});
