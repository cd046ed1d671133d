/** Whatever is killed while searching, the run file comes out byte for byte the same. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findProcesses, openWorkplace, until, type Workplace } from "../e2e/harness.js";

let place: Workplace;
let expected: string;

const body = (name: string, model: string): string => `
  name: ${JSON.stringify(name)},
  model: biEncoder(${JSON.stringify(model)}, { dtype: "float32" }),
  evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), topK: 20, measures: ["nDCG@10"] },
  mine: { data: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }), topK: 30 },
  workers: { count: 1, threads: 1, unitSize: 16, batchSize: 4 },
`;

const runFile = (name: string): Promise<string> =>
  readFile(join(place.folder, "runs", name, "evaluate-base/run.trec"), "utf8");
/** The tag is the experiment's name, and the only thing that may differ. */
const untagged = (run: string): string => run.replaceAll(/ \S+$/gm, "");

beforeAll(async () => {
  place = await openWorkplace({ passages: 4_000, queries: 64 });
  await place.experiment(body("one", place.model));
  const result = await place.quarry("evaluate", "experiment.ts");
  expect(result.stderr).toBe("");
  expect(result.exitCode).toBe(0);
  expected = untagged(await runFile("one"));
}, 120_000);
afterAll(() => place.remove());

const events = async (name: string): Promise<{ type: string; phase?: string; done?: number }[]> =>
  (await readFile(join(place.folder, "runs", name, "events.jsonl"), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

const isSearching = async (name: string): Promise<boolean> => {
  const events = await readFile(join(place.folder, "runs", name, "events.jsonl"), "utf8").catch(() => "");
  return events.includes('"evaluate-base/passages"') && events.includes('"busy"');
};
const workers = () => findProcesses("quarry_runtime worker", place.folder);
const survivors = () => findProcesses("quarry_runtime", place.folder);

test("three workers write the same run file as one, also when one is killed in the middle", async () => {
  await place.experiment(body("three", place.model));
  const running = place.start("evaluate", "experiment.ts", "--workers.count", "3");
  await until(() => isSearching("three"), 60_000, "the search begins");
  const [victim] = await workers();
  process.kill(victim?.pid as number, "SIGKILL");
  const result = await running;
  expect(result.exitCode).toBe(0);
  expect(result.stdout + result.stderr).toMatch(/SIGKILL/);
  expect(untagged(await runFile("three"))).toBe(expected);
}, 120_000);

test("after SIGKILL of the orchestrator nothing is left, and the same command finishes with the same result", async () => {
  await place.experiment(body("killed", place.model));
  const running = place.start("evaluate", "experiment.ts");
  await until(() => isSearching("killed"), 60_000, "the search begins");
  const snapshots = join(place.folder, "runs/killed/evaluate-base/snapshots");
  await until(async () => (await readdir(snapshots)).some((file) => file.endsWith(".topk")), 60_000, "a snapshot");
  running.kill("SIGKILL");
  await running;
  await until(async () => (await survivors()).length === 0, 5_000, "no survivors");
  const again = await place.quarry("evaluate", "experiment.ts");
  expect(again.exitCode).toBe(0);
  const done = (await events("killed")).filter(
    ({ type, phase }) => type === "phaseFinished" && phase === "evaluate-base/passages",
  );
  expect(done.at(-1)?.done, "only the units that no snapshot covers are done again").toBeLessThan(4_000);
  expect(untagged(await runFile("killed"))).toBe(expected);
}, 120_000);

test("Ctrl-C stops within seconds with status 130 and the same command finishes", async () => {
  await place.experiment(body("stopped", place.model));
  const running = place.start("evaluate", "experiment.ts");
  await until(() => isSearching("stopped"), 60_000, "the search begins");
  running.kill("SIGINT");
  const result = await running;
  expect(result.exitCode).toBe(130);
  expect(result.stderr).not.toMatch(/\n\s+at /);
  expect(await survivors()).toEqual([]);
  expect((await place.quarry("evaluate", "experiment.ts")).exitCode).toBe(0);
  expect(untagged(await runFile("stopped"))).toBe(expected);
}, 120_000);
