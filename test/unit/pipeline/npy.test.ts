/** A matrix written in any order, over several processes, is the same file in the end. */
import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MatrixWriter, npyHeader, readNpy } from "../../../src/pipeline/npy.js";

const floats = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-npy-"));
});
afterEach(() => rm(folder, { recursive: true }));

test("blocks written by two processes in any order make one matrix", async () => {
  const path = join(folder, "vectors.npy");
  const first = await MatrixWriter.open(path, "key", 5, 2);
  await first.write(2, floats(9, 10), 2);
  await first.write(0, floats(1, 2, 3, 4), 2);
  await first.close();
  expect(await readdir(folder)).not.toContain("vectors.npy");
  const second = await MatrixWriter.open(path, "key", 5, 2);
  expect([0, 1, 2].map((block) => second.isDone(block))).toEqual([true, false, true]);
  await second.write(1, floats(5, 6, 7, 8), 2);
  await second.finish();
  const bytes = await readFile(path);
  expect(bytes.toString("latin1", 1, 6)).toBe("NUMPY");
  expect(bytes.toString("latin1", 10, 128)).toContain("'shape': (5, 2)");
  expect([...new Float32Array(bytes.buffer.slice(bytes.byteOffset + 128, bytes.byteOffset + bytes.length))]).toEqual([
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
  ]);
  expect(await readdir(folder)).toEqual(["vectors.npy"]);
});

test("a torn journal line and another model's blocks do not count", async () => {
  const path = join(folder, "vectors.npy");
  const first = await MatrixWriter.open(path, "key", 40, 2);
  await first.write(1, floats(1, 2), 1);
  await first.write(12, floats(3, 4), 1);
  await first.close();
  await truncate(`${path}.done`, "key 1\n1\n1".length);
  const torn = await MatrixWriter.open(path, "key", 40, 2);
  expect([1, 12].map((block) => torn.isDone(block))).toEqual([true, false]);
  await torn.write(2, floats(5, 6), 1);
  await torn.close();
  const again = await MatrixWriter.open(path, "key", 40, 2);
  expect([1, 2, 12].map((block) => again.isDone(block))).toEqual([true, true, false]);
  await again.close();
  const other = await MatrixWriter.open(path, "other", 40, 2);
  expect(other.isDone(1)).toBe(false);
  await other.close();
});

test("an array is read as what it is expected to be, and refused as anything else", async () => {
  const path = join(folder, "scores.npy");
  await writeFile(path, Buffer.concat([npyHeader("<f4", [2, 2]), floats(1, 2, 3, 4)]));
  expect([...new Float32Array(await readNpy(path, "<f4", [2, 2]))]).toEqual([1, 2, 3, 4]);
  await expect(readNpy(path, "<f4", [4, 1])).rejects.toThrow("is no array <f4 [4 × 1]");
  await expect(readNpy(path, "<i4", [2, 2])).rejects.toThrow("is no array");
  await truncate(path, 140);
  await expect(readNpy(path, "<f4", [2, 2])).rejects.toThrow("is no array");
  await truncate(path, 3);
  await expect(readNpy(path, "<f4", [2, 2])).rejects.toThrow("is no array");
});
