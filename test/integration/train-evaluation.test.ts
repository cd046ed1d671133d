/** Evaluation while a model trains: real ranks, real workers, the numbers that `evaluate` gives. */
import { writeFileSync } from "node:fs";
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { source, suite } from "../../src/experiment/define.js";
import { evaluate, train } from "../../src/pipeline/run.js";
import { EventStream, type QuarryEvent } from "../../src/report/events.js";
import { openWorkplace, type Workplace } from "../e2e/harness.js";
import { evaluatedTraining, jsonLines, lossesOf, type Trial } from "../fixtures/evaluated-training.js";
import { descendants, ranks } from "./training-harness.js";

interface Line {
  readonly step: number;
  readonly values: Record<string, number> | null;
}

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace();
});
afterAll(() => place.remove());

const runDir = (name: string, ...parts: string[]): string => join(place.folder, "runs", name, ...parts);
const curveOf = (name: string): Promise<Line[]> => jsonLines<Line>(runDir(name, "train/evaluations.jsonl"));
const checkpointsOf = async (name: string): Promise<string[]> =>
  (await readdir(runDir(name, "train"))).filter((entry) => entry.startsWith("checkpoint-")).sort();

async function trained(trial: Omit<Trial, "folder">, listener: (event: QuarryEvent) => void = () => {}) {
  const events = new EventStream();
  const seen: QuarryEvent[] = [];
  events.subscribe((event) => {
    seen.push(event);
    listener(event);
  });
  const experiment = evaluatedTraining({ folder: place.folder, ...trial });
  const result = await train(experiment, { events });
  expect(descendants("quarry_runtime")).toEqual([]);
  return { experiment, result, seen };
}

describe("two ranks with dropout on, evaluated every second step", () => {
  const name = "beside";
  let beside: Awaited<ReturnType<typeof trained>>;
  let best: number;

  test("workers beside them measure each checkpoint, and later steps work with the best", async () => {
    beside = await trained({ name, evaluate: { loadBestModelAtEnd: true } });
    const curve = await curveOf(name);
    expect(curve.map(({ step }) => step)).toEqual([2, 4, 6, 8]);
    const told = beside.seen.flatMap((event) => (event.type === "evaluation" ? [[event.step, event.values]] : []));
    expect(told).toEqual(curve.map(({ step, values }) => [step, values]));
    const values = curve.map((line) => line.values?.["nDCG@10"] as number);
    expect(new Set(values).size).toBeGreaterThan(1);
    best = 2 * (values.indexOf(Math.max(...values)) + 1);
    expect(JSON.parse(await readFile(runDir(name, "train/best.json"), "utf8"))).toMatchObject({
      step: best,
      measure: "nDCG@10",
      value: Math.max(...values),
      checkpoint: `train/checkpoint-${best}`,
    });
    expect(beside.result.checkpoint).toBe(runDir(name, `train/checkpoint-${best}`));
    // One kept for the last, one for the best.
    expect(await checkpointsOf(name)).toEqual([...new Set([`checkpoint-${best}`, "checkpoint-8"])].sort());
    const workers = new Set(beside.seen.flatMap((event) => (event.type === "worker" ? [event.worker] : [])));
    expect([...workers].sort()).toEqual(["evaluate-0", "rank-0", "rank-1"]);
    const summary = beside.seen.findLast((event) => event.type === "summary");
    expect(summary?.rows).toContainEqual(["best step", expect.stringMatching(new RegExp(`^${best} \\(nDCG@10 0\\.`))]);
  });

  test("evaluate works with the best checkpoint, and finds the very same values", async () => {
    const { metrics, values, checkpoint } = await evaluate(beside.experiment);
    expect(checkpoint).toBe(runDir(name, `train/checkpoint-${best}`));
    const line = (await curveOf(name)).find(({ step }) => step === best);
    expect(metrics).toEqual({ [`checkpoint-${best}`]: line?.values });
    expect(values).toEqual(line?.values);
  });

  const stopping = { earlyStoppingPatience: 2, earlyStoppingThreshold: 1 } as const;

  test("ranks that evaluate themselves find the same values and go on as if nothing had happened", async () => {
    const { seen, result } = await trained({ name: "ranks", evaluate: { mode: "ranks", ...stopping } });
    // The first value is an improvement, two more are none: the patience is at its end.
    expect(await curveOf("ranks")).toMatchObject(
      (await curveOf(name)).slice(0, 3).map(({ step, values }) => ({ step, values })),
    );
    expect(await curveOf("ranks")).toHaveLength(3);
    const undisturbed = await lossesOf(runDir(name));
    const losses = await lossesOf(runDir("ranks"));
    expect([...losses.keys()]).toEqual([1, 2, 3, 4, 5, 6]);
    for (const [step, loss] of losses) expect(loss, `step ${step}`).toBe(undisturbed.get(step));
    expect(result.checkpoint).toBe(runDir("ranks", "train/checkpoint-6"));
    const workers = new Set(seen.flatMap((event) => (event.type === "worker" ? [event.worker] : [])));
    expect([...workers].sort()).toEqual(["rank-0", "rank-1"]);
  });

  test("a training that stopped early is over: the same command returns at once", async () => {
    const { seen, result } = await trained({ name: "ranks", evaluate: { mode: "ranks", ...stopping } });
    expect(seen.some(({ type }) => type === "trainStep" || type === "evaluation")).toBe(false);
    expect(result.checkpoint).toBe(runDir("ranks", "train/checkpoint-6"));
  });

  test("a kill in an evaluation changes neither the curve nor the best nor the step that training ends with", async () => {
    const options = {
      name: "killed",
      evaluate: { ...stopping, maxWaiting: 10 },
      args: { saveSteps: 1, saveTotalLimit: 2 },
    };
    const trial: Trial = { folder: place.folder, ...options };
    const script = fileURLToPath(new URL("../fixtures/killed-in-evaluation.ts", import.meta.url));
    const env = { QUARRY_TEST_TRIAL: JSON.stringify(trial), TMPDIR: place.folder };
    const child = await execa(process.execPath, ["scripts/on-build.mjs", script], { env, reject: false });
    expect(child.signal, child.stderr).toBe("SIGKILL");
    expect((await curveOf("killed")).map(({ step }) => step)).toEqual([2]);
    // A copy without the best one could not choose in the end.
    await rename(runDir("killed", "train/checkpoint-2"), runDir("killed", "train/best"));
    await expect(trained(options)).rejects.toMatchObject({
      code: "INTEGRITY",
      message: `the training in ${runDir("killed")} has lost train/checkpoint-2, which its evaluations chose`,
    });
    await rename(runDir("killed", "train/best"), runDir("killed", "train/checkpoint-2"));
    await trained(options);
    const strip = (lines: Line[]) => lines.map(({ step, values }) => ({ step, values }));
    expect(strip(await curveOf("killed"))).toEqual(strip(await curveOf("ranks")));
    const bestOf = async (run: string) => JSON.parse(await readFile(runDir(run, "train/best.json"), "utf8"));
    expect(await bestOf("killed")).toEqual(await bestOf("ranks"));
    const journal = await jsonLines<{ type: string; step: unknown }>(runDir("killed", "journal.jsonl"));
    expect(journal.flatMap(({ type, step }) => (type === "checkpointEvaluated" ? [step] : []))).toEqual([2, 4, 6]);
    // Workers were slower than training: what it did beyond the end is gone, and has pushed nothing out.
    expect(await checkpointsOf("killed")).toEqual(["checkpoint-2", "checkpoint-5", "checkpoint-6"]);
    expect([...(await lossesOf(runDir("killed"))).keys()].sort()).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("a rank killed in an evaluation starts again with it, and nothing else changes", async () => {
    let isKilled = false;
    await trained({ name: "rank-killed", evaluate: { mode: "ranks", ...stopping } }, (event) => {
      if (isKilled || event.type !== "worker" || event.detail !== "evaluates step 4") return;
      isKilled = true;
      setTimeout(() => process.kill(ranks()[1] as number, "SIGKILL"), 50);
    });
    expect(isKilled).toBe(true);
    expect(await curveOf("rank-killed")).toMatchObject(
      (await curveOf("ranks")).map(({ step, values }) => ({ step, values })),
    );
    expect(await lossesOf(runDir("rank-killed"))).toEqual(await lossesOf(runDir("ranks")));
  });
});

test("a training whose checkpoints cannot be evaluated ends with the reason, keeps them, and tries again", async () => {
  // Edited while the ranks are at work: workers that start later would measure with other code.
  const plugin = join(place.folder, "edited_meanwhile.py");
  await writeFile(plugin, "LUCK = 1\n");
  const [one, two] = ["test", "train"].map((split) =>
    source({ corpus: "collection", qrels: `collection/qrels/${split}.tsv` }),
  );
  const quick = { subCorpus: { passages: 300 }, sampleQueries: 10 };
  const quickly = { data: suite({ one, two } as never), metricForBestModel: "two/R@100", ...quick };
  const trial = { name: "broken", maxSteps: 4, ranks: 1, plugins: [plugin], evaluate: quickly };
  const seen: QuarryEvent[] = [];
  const listen = (event: QuarryEvent): void => {
    seen.push(event);
    if (event.type === "trainStep" && event.step === 1) writeFileSync(plugin, "LUCK = 2\n");
  };
  const error = await trained(trial, listen).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ message: expect.stringMatching(/^No checkpoint could be evaluated; step 4: /) });
  const warnings = seen.flatMap((event) => (event.type === "warning" ? [event.message] : []));
  expect(warnings).toContainEqual(
    expect.stringMatching(
      /^The checkpoint of step 2 has no measures: The plugin .*\/edited_meanwhile\.py on \S+ is not the one that this run began with/,
    ),
  );
  expect(await checkpointsOf("broken")).toEqual(["checkpoint-4"]);
  await writeFile(plugin, "LUCK = 1\n");
  const { result, seen: later } = await trained(trial);
  expect(later.some(({ type }) => type === "trainStep")).toBe(false);
  expect(result.checkpoint).toBe(runDir("broken", "train/checkpoint-4"));
  // Only the last checkpoint was kept; of a suite there are averages and each set's own values.
  const [line] = await curveOf("broken");
  const measures = ["nDCG@10", "R@100"];
  expect(Object.keys(line?.values ?? {})).toEqual([
    ...measures,
    ...measures.map((measure) => `one/${measure}`),
    ...measures.map((measure) => `two/${measure}`),
  ]);
  expect(line).toMatchObject({ step: 4, queryCount: 20 });
  const notes = later.flatMap((event) => (event.type === "notice" ? [event.message] : []));
  const phases = later.flatMap((event) => (event.type === "phaseStarted" ? [`${event.phase} (${event.label})`] : []));
  for (const set of ["one", "two"]) expect(phases).toContain(`train.evaluate/${set}/prepare (${set}, prepare data)`);
  expect(notes).toContain("train.evaluate, one searches 300 of 480 passages, which raises its measures");
  await rm(plugin);
});
