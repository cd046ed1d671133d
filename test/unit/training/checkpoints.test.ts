/** Which checkpoints count: only those whose manifest agrees with every file. */
import { existsSync } from "node:fs";
import { type FileHandle, mkdir, mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { EventStream } from "../../../src/report/events.js";
import { checkResumable, layoutFrom, removeCheckpoints, removeHalfWritten } from "../../../src/training/checkpoints.js";
import { findLatestCheckpoint, lostOfCheckpoints, runTraining, type TrainJob } from "../../../src/training/index.js";
import { anyFileHandle } from "../../fixtures/file-handle.js";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-checkpoints-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function write(step: number, change: Record<string, unknown> = {}): Promise<string> {
  const path = join(folder, `checkpoint-${step}`);
  await mkdir(join(path, "1_Pooling"), { recursive: true });
  await writeFile(join(path, "model.safetensors"), "weights");
  await writeFile(join(path, "1_Pooling", "config.json"), "{}");
  const files = [
    { path: "1_Pooling/config.json", bytes: 2, xxh3: "a" },
    { path: "model.safetensors", bytes: 7, xxh3: "b" },
  ];
  const manifest = { version: 1, step, negativesScope: 16, queriesPerStep: 8, seed: 7, worldSize: 1, files, ...change };
  await writeFile(join(path, "quarry-checkpoint.json"), JSON.stringify(manifest));
  return path;
}

test("the complete checkpoint with the most steps is found, by number and not by name", async () => {
  await write(9);
  const path = await write(10);
  expect(await findLatestCheckpoint(folder)).toMatchObject({ path, step: 10 });
});

test("a folder that does not exist has no checkpoint", async () => {
  expect(await findLatestCheckpoint(join(folder, "nothing"))).toBeNull();
});

/** What is told while half-written checkpoints are removed: each line with its kind. */
async function removing(): Promise<string[]> {
  const told: string[] = [];
  const events = new EventStream();
  events.subscribe((event) => {
    if (event.type === "warning") told.push(`warning: ${event.message}`);
    if (event.type === "log") told.push(`log: ${event.text}`);
  });
  await removeHalfWritten(folder, events);
  return told;
}

type Damage = [name: string, damage: (path: string) => Promise<unknown>, lost: readonly string[] | null];
const damages: Damage[] = [
  ["without a manifest", (path) => rm(join(path, "quarry-checkpoint.json")), null],
  ["with a torn manifest", (path) => truncate(join(path, "quarry-checkpoint.json"), 20), null],
  ["with a file cut short", (path) => truncate(join(path, "model.safetensors"), 3), ["model.safetensors"]],
  ["with a file missing", (path) => rm(join(path, "1_Pooling", "config.json")), ["1_Pooling/config.json"]],
  ["that names another step", () => write(4, { step: 5 }), []],
  ["that names a file outside", () => write(4, { files: [{ path: "../x", bytes: 1, xxh3: "a" }] }), null],
];

test.each(damages)("a checkpoint %s is passed over, and removed on a resume", async (_name, damage, lost) => {
  const good = await write(2);
  const path = await write(4);
  await damage(path);
  expect(await findLatestCheckpoint(folder)).toMatchObject({ path: good, step: 2 });
  expect(await lostOfCheckpoints(folder)).toEqual((lost ?? []).map((file) => join(path, file)));
  // No death leaves a manifest in a folder that is not complete.
  expect(await removing()).toEqual([
    lost === null
      ? `log: removed half-written ${path}`
      : `warning: ${path} was a complete checkpoint, but has lost files; it is removed.`,
  ]);
  expect(await readdir(folder)).toEqual(["checkpoint-2"]);
});

test("a checkpoint that goes loses its manifest for good before any of its files", async () => {
  const path = await write(2);
  const { sync } = anyFileHandle;
  const left: string[][] = [];
  const syncing = vi.spyOn(anyFileHandle, "sync").mockImplementation(async function (this: FileHandle) {
    left.push((await readdir(path)).toSorted());
    await sync.call(this);
  });
  onTestFinished(() => syncing.mockRestore());
  await removeCheckpoints([{ path }]);
  expect(left).toEqual([["1_Pooling", "model.safetensors"]]);
  expect(existsSync(path)).toBe(false);
});

test("what ranks left that died while they cleared up at their end is removed by whoever comes by", async () => {
  await write(4);
  await rm(join(await write(2), "quarry-checkpoint.json"));
  const batch = { ranks: 1, globalBatchSize: 8, queriesPerRank: undefined, passagesPerQuery: 2, seed: 7 };
  const job = { ...batch, phase: "train", maxSteps: 4, outputDir: folder, events: new EventStream() };
  expect(await runTraining(job as unknown as TrainJob)).toMatchObject({ step: 4, stepsDone: 0 });
  expect(await readdir(folder)).toEqual(["checkpoint-4"]);
});

test("folders of other names are left alone", async () => {
  await mkdir(join(folder, "checkpoint-last"));
  await mkdir(join(folder, "notes"));
  expect(await removing()).toEqual([]);
  expect(await readdir(folder)).toEqual(["checkpoint-last", "notes"]);
});

test("a resume that would silently change the pool of negatives is refused with the way back", async () => {
  await write(2);
  const from = await findLatestCheckpoint(folder);
  const check = (worldSize: number, queriesPerRank: number, accumulationSteps: number) => () =>
    checkResumable(
      from as NonNullable<typeof from>,
      { seed: 7, passagesPerQuery: 2 },
      {
        ...{ worldSize, queriesPerRank, accumulationSteps },
      },
    );
  expect(check(2, 4, 1)).not.toThrow();
  expect(check(4, 2, 1)).not.toThrow();
  expect(check(1, 4, 2)).toThrow(
    expect.objectContaining({ code: "CONFIG", hint: "Set train.queriesPerRank to 8, or choose another runDir." }),
  );
  expect(check(1, 16, 1)).toThrow(
    expect.objectContaining({ message: expect.stringContaining("globalBatchSize 8, not 16") }),
  );
});

test("more or fewer ranks go on with the same pool of negatives, where queriesPerRank is left open", async () => {
  // 8 queries a step, 4 of them at a time.
  await write(2, { negativesScope: 8 });
  const from = await findLatestCheckpoint(folder);
  const layout = (ranks: number, queriesPerRank?: number) =>
    layoutFrom(from, { globalBatchSize: 8, queriesPerRank, passagesPerQuery: 2, seed: 7 }, ranks);
  expect(layout(1)).toEqual({ worldSize: 1, queriesPerRank: 4, accumulationSteps: 2 });
  expect(layout(2)).toEqual({ worldSize: 2, queriesPerRank: 2, accumulationSteps: 2 });
  expect(layout(4)).toEqual({ worldSize: 4, queriesPerRank: 1, accumulationSteps: 2 });
  // What the user says holds, or is refused; eight ranks have one query each, at once.
  expect(() => layout(1, 8)).toThrow("would compare it with 16");
  expect(() => layout(8)).toThrow(expect.objectContaining({ code: "CONFIG" }));
  await write(4, { negativesScope: 0 });
  const free = await findLatestCheckpoint(folder);
  const job = { globalBatchSize: 8, queriesPerRank: 1, passagesPerQuery: 2, seed: 7 };
  expect(layoutFrom(free, job, 1)).toEqual({ worldSize: 1, queriesPerRank: 1, accumulationSteps: 8 });
});
