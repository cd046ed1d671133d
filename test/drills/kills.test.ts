/** The whole matrix of kills, at random moments: `npm run drills`; QUARRY_DRILL_ROUNDS says how many moments each. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findProcesses, openWorkplace, type Running, until, type Workplace } from "../e2e/harness.js";

const ROUNDS = Number(process.env["QUARRY_DRILL_ROUNDS"] ?? 20);
/** Some seconds of work for two workers: texts that repeat are encoded once, so each is another. */
const PASSAGES = 8_000;
/** What each verb leaves; the tag of a run file is the experiment's name, so every round uses the same one. */
const VERBS = [
  ["encode", "encode-base/vectors.npy"],
  ["evaluate", "evaluate-base/run.trec"],
  ["mine", "mine-base/negatives.tsv"],
] as const;

let place: Workplace;
let count = 0;

beforeAll(async () => {
  place = await openWorkplace({ passages: PASSAGES, queries: 64, isEachDifferent: true });
  const model = JSON.stringify(place.model);
  await place.experiment(`
    name: "drill",
    model: biEncoder(${model}, { dtype: "float32" }),
    encode: { data: source({ corpus: "collection" }) },
    evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), topK: 20, measures: ["nDCG@10"] },
    mine: { data: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }), topK: 30 },
    workers: { count: 2, threads: 1, unitSize: 16, batchSize: 4, heartbeatTimeoutMs: 3_000 },
  `);
}, 120_000);
afterAll(() => place.remove());

/** A run in a folder and a cache of its own: nothing that an earlier round stored may answer. */
function fresh(): { readonly args: readonly string[]; readonly file: (name: string) => string } {
  count += 1;
  const runDir = `runs/${count}`;
  return {
    args: ["--runDir", runDir, "--cacheDir", `caches/${count}`],
    file: (name) => join(place.folder, runDir, name),
  };
}

const events = async (path: string): Promise<{ type: string; state?: string; phase?: string; done?: number }[]> =>
  (await readFile(path, "utf8").catch(() => ""))
    .split("\n")
    .flatMap((line) => (line.endsWith("}") ? [JSON.parse(line)] : []));

const isBusy = async (path: string): Promise<boolean> =>
  (await events(path)).some(({ type, state }) => type === "worker" && state === "busy");

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Expected {
  readonly bytes: Buffer;
  /** From the first busy worker to the end of the command, the shortest so far. */
  workMs: number;
}

const expectations = new Map<string, Promise<Expected>>();
function expected(verb: string, result: string): Promise<Expected> {
  const known = expectations.get(verb);
  if (known !== undefined) return known;
  const found = (async (): Promise<Expected> => {
    const { args, file } = fresh();
    const running = place.start(verb, "experiment.ts", ...args);
    await until(() => isBusy(file("events.jsonl")), 60_000, `${verb} begins`);
    const begin = performance.now();
    const { exitCode, stderr } = await running;
    expect(exitCode, stderr).toBe(0);
    return { bytes: await readFile(file(result)), workMs: performance.now() - begin };
  })();
  expectations.set(verb, found);
  return found;
}

/** Waits for a random moment of the work; false when the command was faster. */
async function atRandomMoment(verb: string, result: string, running: Running, path: string): Promise<boolean> {
  const known = await expected(verb, result);
  let isOver = false;
  void running.then(() => (isOver = true));
  await until(async () => isOver || (await isBusy(path)), 60_000, `${verb} begins`);
  const begin = performance.now();
  await Promise.race([pause(Math.random() * known.workMs), running]);
  // A machine that is less busy than it was: later moments would all come too late.
  if (isOver) known.workMs = Math.min(known.workMs, performance.now() - begin);
  return !isOver;
}

/** Goes on until something was done to a command at work so many times; `round` says whether it was. */
async function rounds(count: number, round: (done: number) => Promise<boolean>): Promise<void> {
  let done = 0;
  for (let tries = 0; done < count; tries += 1) {
    // Commands that always end before their moment would be a drill of nothing.
    expect(tries, `${done} of ${count} rounds came in time`).toBeLessThan(3 * count);
    if (await round(done)) done += 1;
  }
}

const workers = () => findProcesses("quarry-worker", place.folder);

test.each(VERBS)(
  "%s: a worker killed at a random moment changes nothing",
  async (verb, result) => {
    const { bytes } = await expected(verb, result);
    await rounds(ROUNDS, async (round) => {
      const { args, file } = fresh();
      const running = place.start(verb, "experiment.ts", ...args);
      const isInTime = await atRandomMoment(verb, result, running, file("events.jsonl"));
      const victim = (await workers())[round % 2];
      if (victim !== undefined) process.kill(victim.pid, "SIGKILL");
      const { exitCode, stderr } = await running;
      expect(exitCode, stderr).toBe(0);
      expect((await readFile(file(result))).equals(bytes), `round ${round}`).toBe(true);
      return isInTime && victim !== undefined;
    });
  },
  3_600_000,
);

test.each(VERBS)(
  "%s: after SIGKILL of the orchestrator the same command goes on",
  async (verb, result) => {
    const { bytes } = await expected(verb, result);
    await rounds(ROUNDS, async (round) => {
      const { args, file } = fresh();
      const running = place.start(verb, "experiment.ts", ...args);
      const isInTime = await atRandomMoment(verb, result, running, file("events.jsonl"));
      running.kill("SIGKILL");
      await running;
      await until(async () => (await workers()).length === 0, 5_000, `no survivors of ${verb}`);
      const { exitCode, stderr } = await place.quarry(verb, "experiment.ts", ...args);
      expect(exitCode, stderr).toBe(0);
      expect((await readFile(file(result))).equals(bytes), `round ${round}`).toBe(true);
      return isInTime;
    });
  },
  3_600_000,
);

test("train: after SIGKILL of the orchestrator the same command goes on, and the curve has every step once more the same", async () => {
  // A checkpoint each step: whatever is killed, one of them is being written.
  const model = JSON.stringify(place.model);
  await place.experiment(
    `
    name: "drill",
    model: biEncoder(${model}, { dtype: "float32" }),
    train: {
      data: binary({ positives: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }) }),
      loss: { name: "infonce", temperature: 0.1 },
      globalBatchSize: 4, ranks: 1, threads: 1,
      args: { maxSteps: 40, learningRate: 1e-3, saveSteps: 1, saveTotalLimit: 2 },
    },
  `,
    "train",
  );
  const curve = async (file: (name: string) => string): Promise<Map<number, number>> => {
    const lines = (await readFile(file("train/steps.jsonl"), "utf8")).trim().split("\n");
    return new Map(
      lines.map((line) => JSON.parse(line) as { step: number; loss: number }).map((each) => [each.step, each.loss]),
    );
  };
  const steps = async (path: string) => (await events(path)).filter(({ type }) => type === "trainStep").length;
  const whole = fresh();
  expect((await place.quarry("train", "train.ts", ...whole.args)).exitCode).toBe(0);
  const wanted = await curve(whole.file);
  expect([...wanted.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: 40 }, (_, at) => at + 1));
  for (let round = 0; round < ROUNDS; round += 1) {
    const { args, file } = fresh();
    const running = place.start("train", "train.ts", ...args);
    const least = Math.floor(Math.random() * 38);
    await until(async () => (await steps(file("events.jsonl"))) > least, 60_000, "training begins");
    await pause(Math.random() * 50);
    // As a busy machine has it: the ranks go on with the batches that they have, and nobody hears of their steps.
    running.kill("SIGSTOP");
    await pause(round % 2 === 0 ? 500 : 0);
    running.kill("SIGKILL");
    await running;
    await until(async () => (await findProcesses("quarry-rank", place.folder)).length === 0, 25_000, "no survivors");
    const { exitCode, stderr } = await place.quarry("train", "train.ts", ...args);
    expect(exitCode, `killed after step ${least}: ${stderr}`).toBe(0);
    const found = await curve(file);
    for (const [step, loss] of wanted) {
      expect(Math.abs((found.get(step) ?? Number.NaN) - loss), `killed after step ${least}: step ${step}`).toBeLessThan(
        1e-6,
      );
    }
  }
}, 3_600_000);

test("evaluate: a worker stopped at a random moment is taken for dead, and what it says later is dropped", async () => {
  const [verb, result] = ["evaluate", "evaluate-base/run.trec"];
  const { bytes } = await expected(verb, result);
  await rounds(Math.ceil(ROUNDS / 4), async (round) => {
    const { args, file } = fresh();
    const running = place.start(verb, "experiment.ts", ...args);
    const isInTime = await atRandomMoment(verb, result, running, file("events.jsonl"));
    const [victim] = await workers();
    if (victim !== undefined) process.kill(victim.pid, "SIGSTOP");
    const { exitCode, stderr } = await running;
    expect(exitCode, stderr).toBe(0);
    expect((await readFile(file(result))).equals(bytes), `round ${round}`).toBe(true);
    expect(await workers()).toEqual([]);
    return isInTime && victim !== undefined;
  });
}, 3_600_000);

test("evaluate: Ctrl-C at a random moment ends within 10 s, and the same command finishes", async () => {
  const [verb, result] = ["evaluate", "evaluate-base/run.trec"];
  const { bytes } = await expected(verb, result);
  await rounds(Math.ceil(ROUNDS / 4), async (round) => {
    const { args, file } = fresh();
    const running = place.start(verb, "experiment.ts", ...args);
    await atRandomMoment(verb, result, running, file("events.jsonl"));
    running.kill("SIGINT");
    const begin = performance.now();
    const { exitCode, stderr } = await running;
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(performance.now() - begin).toBeLessThan(10_000);
    // The end may have come before the signal; while Node takes itself down, nobody hears one any more.
    const isFinished = (await events(file("events.jsonl"))).some(({ type }) => type === "runFinished");
    if (exitCode !== 0 && !(exitCode === undefined && isFinished)) expect(exitCode, stderr).toBe(130);
    expect(await workers()).toEqual([]);
    expect((await place.quarry(verb, "experiment.ts", ...args)).exitCode).toBe(0);
    expect((await readFile(file(result))).equals(bytes), `round ${round}`).toBe(true);
    return exitCode === 130;
  });
}, 3_600_000);

test("evaluate: a kill every two seconds for as long as QUARRY_DRILL_SECONDS says", async () => {
  const [verb, result] = ["evaluate", "evaluate-base/run.trec"];
  const { bytes } = await expected(verb, result);
  const end = performance.now() + Number(process.env["QUARRY_DRILL_SECONDS"] ?? 120) * 1_000;
  let [runs, kills] = [0, 0];
  while (performance.now() < end) {
    const { args, file } = fresh();
    let isOver = false;
    const running = place.start(verb, "experiment.ts", "--workers.count", "3", "--workers.maxAttempts", "50", ...args);
    void running.then(() => (isOver = true));
    while (!isOver) {
      await Promise.race([pause(2_000), running]);
      const found = await workers();
      const victim = found[Math.floor(Math.random() * found.length)];
      // Only workers at work: one that dies again and again while it starts is left out, as it should be.
      if (victim === undefined || !(await isBusy(file("events.jsonl")))) continue;
      process.kill(victim.pid, "SIGKILL");
      kills += 1;
      if (performance.now() > end) break;
    }
    const { exitCode, stderr } = await running;
    expect(exitCode, stderr).toBe(0);
    expect((await readFile(file(result))).equals(bytes)).toBe(true);
    runs += 1;
  }
  console.log(`${kills} kills in ${runs} runs, each with the same result`);
  expect(kills).toBeGreaterThan(runs);
}, 3_600_000);
