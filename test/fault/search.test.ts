/** Whatever is killed while searching, the run file comes out byte for byte the same. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findProcesses, openWorkplace, until, type Workplace } from "../e2e/harness.js";

/** A second's work or two for one worker. */
const PASSAGES = 1_600;

let place: Workplace;
const expected = new Map<Way, string>();

type Way = "stored" | "streaming";

/** Each has a cache of its own: vectors that another run left would leave nothing to be killed. */
const body = (name: string, model: string, way: Way): string => `
  name: ${JSON.stringify(name)},
  cacheDir: ${JSON.stringify(`cache-${name}`)},
  model: biEncoder(${JSON.stringify(model)}, { dtype: "float32" }),
  evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), topK: 20, measures: ["nDCG@10"] },
  mine: { data: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }), topK: 30 },
  embeddings: { store: ${way === "stored"} },
  workers: { count: 1, threads: 1, unitSize: 16, batchSize: 4 },
`;

const runFile = (name: string): Promise<string> =>
  readFile(join(place.folder, "runs", name, "evaluate-base/run.trec"), "utf8");
/** The tag is the experiment's name, and the only thing that may differ. */
const untagged = (run: string): string => run.replaceAll(/ \S+$/gm, "");

beforeAll(async () => {
  place = await openWorkplace({ passages: PASSAGES, queries: 64, isEachDifferent: true });
  for (const way of ["stored", "streaming"] as const) {
    await place.experiment(body(`one-${way}`, place.model, way));
    const result = await place.quarry("evaluate", "experiment.ts");
    expect(result.stderr).toBe("");
    expect(result.exitCode).toBe(0);
    expected.set(way, untagged(await runFile(`one-${way}`)));
  }
}, 600_000);
afterAll(() => place.remove());

interface Seen {
  readonly type: string;
  readonly phase?: string;
  readonly done?: number;
}

const events = async (name: string): Promise<Seen[]> =>
  (await readFile(join(place.folder, "runs", name, "events.jsonl"), "utf8").catch(() => ""))
    .trim()
    .split("\n")
    .flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Seen]));

const isAtWork = async (name: string, phase = "passages"): Promise<boolean> => {
  const seen = await readFile(join(place.folder, "runs", name, "events.jsonl"), "utf8").catch(() => "");
  return seen.includes(`"evaluate-base/${phase}"`) && seen.includes('"busy"');
};
/** Passages that the last call encoded. */
const lastDone = async (name: string): Promise<number> => {
  const isEncoded = ({ type, phase }: Seen): boolean => type === "phaseFinished" && phase === "evaluate-base/passages";
  return (await events(name)).findLast(isEncoded)?.done ?? 0;
};
/** Whether something of the work is durable: a block of vectors, or a snapshot. */
const isDurable = async (name: string, way: Way): Promise<boolean> => {
  const folder = join(
    place.folder,
    way === "stored" ? `cache-${name}/embeddings` : `runs/${name}/evaluate-base/snapshots`,
  );
  const files = await readdir(folder, { recursive: true }).catch(() => []);
  if (way === "streaming") return files.some((file) => file.endsWith(".topk"));
  const journals = files.filter((file) => file.endsWith("blocks.log"));
  const sizes = await Promise.all(journals.map((file) => readFile(join(folder, file), "utf8").catch(() => "")));
  // Queries have a journal of their own, but it is gone by the time passages come.
  return (await isAtWork(name)) && sizes.some((text) => text.length > 0);
};
const workers = () => findProcesses("quarry-worker", place.folder);

describe.each(["stored", "streaming"] as const)("%s", (way) => {
  test("three workers write the same run file as one, also when one is killed in the middle", async () => {
    const name = `three-${way}`;
    await place.experiment(body(name, place.model, way));
    const running = place.quarry("evaluate", "experiment.ts", "--workers.count", "3");
    await until(() => isAtWork(name), 200_000, "the work begins");
    const [victim] = await workers();
    process.kill(victim?.pid as number, "SIGKILL");
    const result = await running;
    expect(result.exitCode).toBe(0);
    expect(result.stdout + result.stderr).toMatch(/SIGKILL/);
    expect(untagged(await runFile(name))).toBe(expected.get(way));
    // What all lives of the workers found is one file.
    expect(await readdir(join(place.folder, "runs", name, "evaluate-base/snapshots"))).toHaveLength(1);
  }, 600_000);

  test("after SIGKILL of the orchestrator nothing is left, and the same command finishes with the same result", async () => {
    const name = `killed-${way}`;
    await place.experiment(body(name, place.model, way));
    const running = place.start("evaluate", "experiment.ts");
    await until(() => isDurable(name, way), 200_000, "something is durable");
    running.kill("SIGKILL");
    await running;
    await until(async () => (await place.survivors()).length === 0, 25_000, "no survivors");
    const again = await place.quarry("evaluate", "experiment.ts");
    expect(again.exitCode).toBe(0);
    expect(await lastDone(name), "what is durable is not done again").toBeLessThan(PASSAGES);
    expect(untagged(await runFile(name))).toBe(expected.get(way));
  }, 600_000);
});

// Here what is in hand has to become a snapshot first; over stored vectors the drills try it.
test("Ctrl-C stops within seconds with status 130 and the same command does the rest only", async () => {
  const name = "stopped";
  await place.experiment(body(name, place.model, "streaming"));
  const running = place.quarry("evaluate", "experiment.ts");
  await until(() => isDurable(name, "streaming"), 200_000, "something is durable");
  place.interrupt();
  const result = await running;
  expect(result.exitCode).toBe(130);
  expect(result.stderr).not.toMatch(/\n\s+at /);
  expect(await place.survivors()).toEqual([]);
  expect((await place.quarry("evaluate", "experiment.ts")).exitCode).toBe(0);
  const done = await lastDone(name);
  expect(done, "what is durable is not done again").toBeLessThan(PASSAGES);
  expect(done, "the stop came before the end").toBeGreaterThan(0);
  expect(untagged(await runFile(name))).toBe(expected.get("streaming"));
}, 600_000);

test("after SIGKILL in the search over stored vectors the same command encodes nothing", async () => {
  const name = "killed-search";
  await place.experiment(body(name, place.model, "stored"));
  const running = place.start("evaluate", "experiment.ts");
  await until(() => isAtWork(name, "search"), 200_000, "the search begins");
  running.kill("SIGKILL");
  await running;
  await until(async () => (await place.survivors()).length === 0, 25_000, "no survivors");
  const before = (await events(name)).filter(({ type }) => type === "phaseFinished").length;
  expect((await place.quarry("evaluate", "experiment.ts")).exitCode).toBe(0);
  const phases = (await events(name)).filter(({ type }) => type === "phaseStarted").map(({ phase }) => phase);
  expect(phases.slice(before + 1)).not.toContain("evaluate-base/passages");
  expect(untagged(await runFile(name))).toBe(expected.get("stored"));
}, 600_000);
