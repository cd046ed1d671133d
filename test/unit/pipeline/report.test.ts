/** What a report reads of a run folder, whatever deaths left in it. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { writeReport } from "../../../src/index.js";
import { readCurves, thinned } from "../../../src/pipeline/report/curve.js";
import { summed } from "../../../src/pipeline/report/moved.js";
import { readEvents } from "../../../src/pipeline/report/told.js";
import { openRunDir } from "../../../src/rundir/directory.js";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-report-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function lines(name: string, values: readonly unknown[], torn = ""): Promise<string> {
  const path = join(folder, name);
  await mkdir(join(path, ".."), { recursive: true });
  await writeFile(path, values.map((value) => `${JSON.stringify(value)}\n`).join("") + torn);
  return path;
}

describe("the loss curve", () => {
  test("a step that was done again after a death counts once, by its last line; a torn line does not", async () => {
    const told = [1, 2, 3, 2, 3, 4].map((step, at) => ({
      step,
      loss: at,
      learningRate: 1,
      gradNorm: null,
      waitShare: 0.5,
    }));
    const found = await readCurves(await lines("train/steps.jsonl", told, '{"step":5,"lo'));
    expect(found?.steps).toBe(4);
    expect(found?.loss.map(({ step, mean }) => [step, mean])).toEqual([
      [1, 0],
      [2, 3],
      [3, 4],
      [4, 5],
    ]);
    expect(found?.gradNorm).toEqual([]);
    expect(found?.waitShare).toBe(0.5);
  });

  test("without a step there is none", async () => {
    expect(await readCurves(join(folder, "none.jsonl"))).toBeNull();
  });

  test("neighbours share a point, which keeps their extremes", () => {
    const steps = Array.from({ length: 1000 }, (_, index) => index + 1);
    const points = thinned(steps, steps, 100);
    expect(points).toHaveLength(100);
    expect(points[0]).toEqual({ step: 6, mean: 5.5, least: 1, most: 10 });
    expect(points.at(-1)?.most).toBe(1000);
  });
});

describe("the events", () => {
  test("pauses between starts do not count, equal notes are counted, and the last start says how it ended", async () => {
    const path = await lines("events.jsonl", [
      { type: "runStarted", time: 1000 },
      { type: "phaseStarted", phase: "train", label: "train", unit: "steps", total: 9, time: 2000 },
      { type: "progress", phase: "train", done: 4, time: 3000 },
      { type: "warning", message: "w", hint: null, time: 4000 },
      { type: "runFinished", status: "stopped", time: 5000 },
      { type: "runStarted", time: 100_000 },
      { type: "warning", message: "w", hint: null, time: 101_000 },
      { type: "worker", worker: "worker-0", state: "lost", detail: "killed by SIGKILL", time: 102_000 },
      { type: "phaseStarted", phase: "train", label: "train", unit: "steps", total: 9, time: 103_000 },
      { type: "phaseFinished", phase: "train", done: 9, seconds: 2, time: 105_000 },
    ]);
    const told = await readEvents(path);
    expect(told).toMatchObject({ startedAt: 1000, seconds: 9, starts: 2, ended: null });
    expect(told.phases).toEqual([{ label: "train", unit: "steps", done: 9, seconds: 2, isCached: false }]);
    expect(told.notes).toEqual([
      { level: "warning", text: "w", hint: null, count: 2 },
      { level: "lost", text: "worker-0: killed by SIGKILL", hint: null, count: 1 },
    ]);
  });

  test("evaluations come by step, however late they were told", async () => {
    const best = { step: 10, value: 0.5 };
    const path = await lines("events.jsonl", [
      { type: "evaluation", step: 20, measure: "m", values: { m: 0.4 }, best, time: 1 },
      { type: "evaluation", step: 10, measure: "m", values: { m: 0.5 }, best, time: 2 },
    ]);
    const told = await readEvents(path);
    expect(told.evaluations.map(({ step }) => step)).toEqual([10, 20]);
    expect(told.best).toEqual({ step: 10, measure: "m", value: 0.5 });
  });
});

test("queries are counted by how they changed, and the extremes are named, gains first", () => {
  const changes = [0, 0, 0.25, -0.5, 1, -1];
  const found = summed(
    changes.map((change, at) => ({
      query: `q${at}`,
      before: change < 0 ? 1 : 0,
      after: change < 0 ? 1 + change : change,
    })),
  );
  expect(found).toMatchObject({ better: 2, worse: 2, equal: 2 });
  expect(found.bins.reduce((sum, count) => sum + count)).toBe(6);
  expect(found.bins[10]).toBe(2);
  expect([found.bins[0], found.bins[20]]).toEqual([1, 1]);
  expect(found.most.map(({ query }) => query)).toEqual(["q4", "q2", "q3", "q5"]);
});

describe("a report", () => {
  async function runFolder(base: string, name = base): Promise<string> {
    const path = join(folder, base);
    await mkdir(path);
    await writeFile(join(path, "experiment.json"), JSON.stringify({ name }));
    return path;
  }

  test("is written into the folder of the run, and says that nothing has started", async () => {
    const path = await runFolder("mine");
    const { path: written } = await writeReport(path);
    expect(written).toBe(join(path, "report.html"));
    expect(await readFile(written, "utf8")).toContain('<b class="">not started</b>');
  });

  test("tells a run at work from one that was killed", async () => {
    const path = join(folder, "mine");
    await (await openRunDir({ path, config: {} })).close();
    await writeFile(join(path, "experiment.json"), '{"name":"mine"}');
    await writeFile(join(path, "events.jsonl"), `${JSON.stringify({ type: "runStarted", time: 1 })}\n`);
    await writeReport(path);
    expect(await readFile(join(path, "report.html"), "utf8")).toContain(">killed</b>");
    const open = await openRunDir({ path, config: {} });
    try {
      await writeReport(path);
      expect(await readFile(join(path, "report.html"), "utf8")).toContain(">at work</b>");
    } finally {
      await open.close();
    }
  });

  test("shows a suite's data sets and what is estimated of a part", async () => {
    const path = await runFolder("mine");
    const estimate = { measured: 0.5, estimate: 0.4, low: 0.35, high: 0.45 };
    const metrics = {
      "evaluate-base": { easy: { "nDCG@10": 0.5 }, average: { "nDCG@10": 0.5 } },
      "evaluate-base/whole-corpus": { easy: { "nDCG@10": estimate } },
    };
    await writeFile(join(path, "metrics.json"), JSON.stringify(metrics));
    await writeReport(path);
    const page = await readFile(join(path, "report.html"), "utf8");
    expect(page).toContain("all passages, estimated: 0.4000 (0.3500 to 0.4500)");
    expect(page).toContain(">average</td>");
    expect(page).not.toContain("whole-corpus");
  });

  test("calls runs of one experiment by their folders, others by their names", async () => {
    const [first, second] = [await runFolder("one", "mine"), await runFolder("two", "mine")];
    const out = join(folder, "both.html");
    await writeReport([first, second, await runFolder("other")], { out });
    const headings = [...(await readFile(out, "utf8")).matchAll(/<h2>([^<]*)<\/h2>/g)].map(([, text]) => text);
    expect(headings.slice(-3)).toEqual([first, second, "other"]);
  });

  test("of no run, or of a folder without one, is refused", async () => {
    await expect(writeReport([])).rejects.toMatchObject({ code: "CONFIG" });
    await expect(writeReport(folder)).rejects.toMatchObject({ code: "CONFIG" });
  });
});
