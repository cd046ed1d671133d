/** Which GPUs may be used, with a stand-in for nvidia-smi. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { countGpus, usableGpus, withGpus, withNamedGpu } from "../../../src/pool/gpus.js";

const MIB = 2 ** 20;
let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "quarry-test-gpus-"));
  const lines = [
    "0, GPU-8f2c4a, NVIDIA A, 24576, 1024",
    "1, GPU-11aa90, NVIDIA B, 81920, 80000",
    "2, GPU-77, C, [N/A], [N/A]",
  ];
  writeFileSync(join(folder, "nvidia-smi"), `#!/bin/sh\ncat <<END\n${lines.join("\n")}\nEND\n`);
  chmodSync(join(folder, "nvidia-smi"), 0o755);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const ofThree = (visible?: string) => ({
  executable: "python",
  env: {
    PATH: `${folder}:${process.env["PATH"] ?? ""}`,
    ...(visible === undefined ? {} : { CUDA_VISIBLE_DEVICES: visible }),
  },
});
const withoutAny = (visible: string) => ({
  executable: "python",
  env: { PATH: "/nowhere", CUDA_VISIBLE_DEVICES: visible },
});

test("without CUDA_VISIBLE_DEVICES they are those of the machine, with their memory where it is known", async () => {
  expect(await usableGpus(ofThree())).toEqual([
    { id: "0", name: "NVIDIA A", totalBytes: 24_576 * MIB, freeBytes: 1_024 * MIB },
    { id: "1", name: "NVIDIA B", totalBytes: 81_920 * MIB, freeBytes: 80_000 * MIB },
    { id: "2", name: "C", totalBytes: null, freeBytes: null },
  ]);
});

test("CUDA_VISIBLE_DEVICES says which and in which order, by number or by the beginning of an id", async () => {
  const seen = async (visible: string) => (await usableGpus(ofThree(visible))).map(({ id, name }) => `${id}: ${name}`);
  expect(await seen("1")).toEqual(["1: NVIDIA B"]);
  expect(await seen("1, 0")).toEqual(["1: NVIDIA B", "0: NVIDIA A"]);
  expect(await seen("GPU-11aa")).toEqual(["GPU-11aa: NVIDIA B"]);
  expect(await seen("MIG-5c1d")).toEqual(["MIG-5c1d: GPU MIG-5c1d"]);
  expect(await seen("")).toEqual([]);
  expect(await seen("-1")).toEqual([]);
  expect(await usableGpus(withGpus(ofThree(), ["1"]))).toMatchObject([{ name: "NVIDIA B" }]);
});

test("a device that names a GPU leaves only it to be seen, counted within those that may be used", async () => {
  const seen = async (device: string, visible?: string) =>
    (await withNamedGpu(ofThree(visible), device)).env["CUDA_VISIBLE_DEVICES"];
  expect(await seen("cuda:2")).toBe("2");
  expect(await seen("cuda:1", "2,0")).toBe("0");
  expect(await seen("cuda", "2,0")).toBe("2,0");
  await expect(seen("cuda:1", "2")).rejects.toMatchObject({
    code: "CONFIG",
    message: "workers.device is cuda:1, but 1 GPU may be used.",
  });
});

test.each([
  ["0,1", 2],
  ["", 0],
  ["-1", 0],
  ["3,-1,4", 1],
  ["GPU-8f2c, GPU-11aa", 2],
])("CUDA_VISIBLE_DEVICES=%j counts as %i GPUs, also without nvidia-smi", async (visible, count) => {
  expect(await countGpus(withoutAny(visible))).toBe(count);
});

test("a nvidia-smi that fails is told, unless the GPUs are named; one that is missing is no fault", async () => {
  const broken = mkdtempSync(join(folder, "broken-"));
  writeFileSync(join(broken, "nvidia-smi"), "#!/bin/sh\necho 'Driver/library version mismatch'\nexit 18\n");
  chmodSync(join(broken, "nvidia-smi"), 0o755);
  const told: string[] = [];
  const count = (env: Record<string, string>) => countGpus({ executable: "python", env }, (why) => told.push(why));

  expect(await count({ PATH: broken, CUDA_VISIBLE_DEVICES: "0" })).toBe(1);
  expect(await count({ PATH: "/nowhere" })).toBe(0);
  expect(told).toEqual([]);
  expect(await count({ PATH: broken })).toBe(0);
  expect(told).toEqual(["nvidia-smi fails, so no GPU is used: Driver/library version mismatch"]);
});
