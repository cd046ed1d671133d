/** Whatever is killed while pairs are scored, the run file comes out byte for byte the same and no pair is lost. */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { findProcesses, openWorkplace, until, type Workplace } from "../e2e/harness.js";

let place: Workplace;
let cross: string;
let expected: string;
let pairCount = 0;

const STEP = "evaluate-base+rerank";
const body = (name: string): string => `
  name: ${JSON.stringify(name)},
  model: biEncoder(${JSON.stringify(place.model)}, { dtype: "float32" }),
  evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), topK: 60, measures: ["nDCG@10"] },
  rerank: crossEncoder(${JSON.stringify(cross)}, { dtype: "float32" }),
  workers: { count: 1, threads: 1, unitSize: 32, batchSize: 4 },
`;
const folder = (name: string): string => join(place.folder, "runs", name);
/** The tag is the experiment's name, and the only thing that may differ. */
const untagged = (run: string): string => run.replaceAll(/ \S+$/gm, "");
const runFile = async (name: string): Promise<string> =>
  untagged(await readFile(join(folder(name), STEP, "run.trec"), "utf8"));
const events = async (name: string): Promise<{ type: string; phase?: string; done?: number; total?: number }[]> =>
  (await readFile(join(folder(name), "events.jsonl"), "utf8").catch(() => ""))
    .split("\n")
    .filter((line) => line.endsWith("}"))
    .map((line) => JSON.parse(line));
const pairPhases = async (name: string) =>
  (await events(name)).filter(({ type, phase }) => type === "phaseFinished" && phase === `${STEP}/pairs`);
const cache = () => join(place.folder, "cache/pair-scores");
const workers = () => findProcesses("quarry-worker", place.folder);

/** Bytes of all shards: they grow by a block with each unit. */
async function cachedBytes(): Promise<number> {
  let bytes = 0;
  for (const model of await readdir(cache()).catch(() => []))
    for (const name of await readdir(join(cache(), model)))
      if (name.endsWith(".scores")) bytes += (await readFile(join(cache(), model, name))).byteLength;
  return bytes;
}

beforeAll(async () => {
  place = await openWorkplace({ passages: 600, queries: 64 });
  cross = await place.crossEncoder();
  // Equal texts are scored once: here every pair shall be another one.
  for (const file of ["corpus.jsonl", "queries.jsonl"].map((name) => join(place.collection, name))) {
    const rows = (await readFile(file, "utf8")).trim().split("\n");
    const distinct = rows.map((row) => JSON.parse(row)).map((row, at) => ({ ...row, text: `${row.text} no ${at}` }));
    await writeFile(file, distinct.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }
  await place.experiment(body("whole"));
  const result = await place.quarry("evaluate", "experiment.ts");
  expect(result.exitCode, result.stderr).toBe(0);
  expected = await runFile("whole");
  pairCount = (await pairPhases("whole"))[0]?.done ?? 0;
  expect(pairCount).toBe(32 * 60);
}, 600_000);
// The runs are of one model over one collection: what one of them scored the others would not.
beforeEach(() => rm(cache(), { recursive: true, force: true }));
afterAll(() => place.remove());

test("a worker that is killed while it scores costs its units in hand and changes nothing", async () => {
  await place.experiment(body("worker"));
  const running = place.quarry("evaluate", "experiment.ts", "--workers.count", "2");
  await until(async () => (await cachedBytes()) > 0, 200_000, "the first scores");
  const [victim] = await workers();
  process.kill(victim?.pid as number, "SIGKILL");
  const result = await running;
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout + result.stderr).toMatch(/SIGKILL/);
  expect(await runFile("worker")).toBe(expected);
}, 600_000);

test("after SIGKILL of the orchestrator the same command scores the missing pairs only and ends with the same bytes", async () => {
  await place.experiment(body("killed"));
  const running = place.start("evaluate", "experiment.ts");
  await until(async () => (await cachedBytes()) > 0, 200_000, "some scores");
  running.kill("SIGKILL");
  await running;
  expect(await pairPhases("killed")).toEqual([]);
  await until(async () => (await workers()).length === 0, 25_000, "no survivors");
  const known = await cachedBytes();
  const again = await place.quarry("evaluate", "experiment.ts");
  expect(again.exitCode, again.stderr).toBe(0);
  const [phase] = await pairPhases("killed");
  expect(phase?.done).toBeLessThan(pairCount);
  // 20 bytes a pair and a head for each unit: everything that was durable was kept.
  expect((phase?.done ?? 0) * 20 + known).toBeGreaterThanOrEqual(pairCount * 20);
  expect((phase?.done ?? 0) * 20 + known).toBeLessThan(pairCount * 20 + 3_000);
  expect(await runFile("killed")).toBe(expected);
  const finished = await place.quarry("evaluate", "experiment.ts");
  expect(finished.exitCode).toBe(0);
  expect(await pairPhases("killed")).toHaveLength(1);
}, 600_000);
