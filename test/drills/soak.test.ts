/** Pools started and stopped again and again leave nothing behind: QUARRY_DRILL_STARTS says how often. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { workersSchema } from "../../src/experiment/schema.js";
import { openPool } from "../../src/pool/pool.js";
import { findPython } from "../../src/python/environment.js";
import { EventStream } from "../../src/report/events.js";
import {
  collectVectors,
  fakeModel,
  fakeUnits,
  openFakePool,
  processesWith,
  socketFolders,
} from "../fixtures/fake-pool.js";
import { textUnits } from "../fixtures/text-units.js";
import { writeTinyModel } from "../fixtures/tiny-model.js";

const STARTS = Number(process.env["QUARRY_DRILL_STARTS"] ?? 1_000);
// Whatever else runs on this machine leaves its temporary folders elsewhere.
const temporary = mkdtempSync(join(tmpdir(), "quarry-soak-"));
process.env["TMPDIR"] = temporary;
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

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

const children = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ").filter(Boolean).map(Number);
const memoryMb = (pid: number): number =>
  Number(/^Pss_Anon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "latin1"))?.[1]) / 1024;

test("forks leave nothing in the process that they are forked from", async () => {
  const python = await findPython();
  const checkpoint = await writeTinyModel(join(temporary, "model"));
  const model = { ...fakeModel, checkpoint, dtype: "float32" } as const;
  const workers = workersSchema.parse({ count: 1, device: "cpu", threads: 1, batchSize: 4 });
  const round = async (): Promise<void> => {
    const pool = await openPool({ workers, python, logDir: join(temporary, "logs"), events: new EventStream() });
    const units = textUnits(1, 8);
    let rows = 0;
    const onVectors = async (): Promise<void> => void (rows += 8);
    await pool.encode({ phase: "encode", model, units, side: "passage", onVectors });
    expect(rows).toBe(8);
    await pool.close();
  };
  const look = () => {
    const [server = 0] = children(process.pid);
    const kept = readdirSync(`/proc/${server}/fd`).length;
    return { server, memory: memoryMb(server), forks: children(server), open: [descriptors(), kept] };
  };
  for (let start = 0; start < 5; start += 1) await round();
  const before = look();
  for (let start = 0; start < STARTS; start += 1) await round();
  const { memory, ...after } = look();
  expect(after).toEqual({ server: before.server, forks: [], open: before.open });
  expect(memory).toBeLessThan(before.memory + 5);
}, 7_200_000);
