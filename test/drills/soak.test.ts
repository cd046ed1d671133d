/** Pools started and stopped again and again leave nothing behind: QUARRY_DRILL_STARTS says how often. */
import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { collectVectors, fakeUnits, openFakePool, processesWith, socketFolders } from "../fixtures/fake-pool.js";

const STARTS = Number(process.env["QUARRY_DRILL_STARTS"] ?? 1_000);
const descriptors = (): number => readdirSync("/proc/self/fd").length;

test("no descriptor, no process and no temporary folder stays", async () => {
  const round = async (): Promise<number[]> => {
    const fake = await openFakePool({}, { count: 1 });
    const { job, vectors } = collectVectors(fakeUnits(3));
    await fake.pool.encode(job);
    expect(vectors.size).toBe(3);
    await fake.close();
    return fake.pids();
  };
  // What the first ones open once and for all (ZeroMQ's own threads) is no leak.
  for (let start = 0; start < 5; start += 1) await round();
  const [before, folders] = [descriptors(), socketFolders().length];
  for (let start = 0; start < STARTS; start += 1) expect(await round()).toEqual([]);
  expect(descriptors()).toBeLessThanOrEqual(before);
  expect(socketFolders().length).toBeLessThanOrEqual(folders);
  expect(processesWith(`QUARRY_TEST_MARKER=${process.pid}`)).toEqual([]);
}, 7_200_000);
