/** The view of a run: what the events add up to, whatever order they come in. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { EventBody, QuarryEvent } from "../../../src/report/events.js";
import { addLoss, emptyLossHistory, lossPoints } from "../../../src/report/loss-history.js";
import { emptyView, phaseEta, phaseRate, reduce, type ViewState } from "../../../src/report/state.js";
import { recordedRun } from "../../fixtures/recorded-run.js";

const at = (seconds: number, body: EventBody) => ({ ...body, time: seconds * 1000 }) as QuarryEvent;
const play = (events: readonly QuarryEvent[], from: ViewState = emptyView) => events.reduce(reduce, from);

const started = (seconds: number, isResumed = false) =>
  at(seconds, { type: "runStarted", name: "a", runDir: "runs/a", steps: [], isResumed });
const phase = (seconds: number, id: string, total: number | null = 100) =>
  at(seconds, { type: "phaseStarted", phase: id, label: id, unit: "passages", total });
const progress = (seconds: number, id: string, done: number, ratePerSecond: number | null = null) =>
  at(seconds, { type: "progress", phase: id, done, total: null, ratePerSecond });

test("a recorded run ends with two evaluations, a training, and a summary", () => {
  const view = play(recordedRun());
  expect(view.phases.map(({ id, seconds, done }) => ({ id, seconds, done }))).toEqual([
    { id: "evaluate-1", seconds: 27, done: 5183 },
    { id: "train-1", seconds: 251, done: 100 },
    { id: "evaluate-2", seconds: 27, done: 5183 },
  ]);
  expect(view.metrics.map(({ values }) => values["nDCG@10"])).toEqual([0.6451, 0.7103]);
  expect(view.summaries[0]?.rows).toHaveLength(2);
  expect(view.finished?.status).toBe("done");
});

test("the time left follows the pool's rate and counts down between two events", () => {
  const view = play([started(0), phase(0, "p"), progress(10, "p", 40, 2)]);
  const active = view.phases[0];
  expect(active && phaseEta(active, 10_000)).toBe(30);
  expect(active && phaseEta(active, 15_000)).toBe(25);
  // The work goes on when the time is up: 0 s would be a lie, for as long as nothing is heard.
  expect(active && phaseEta(active, 99_000)).toBeNull();
});

test("without a rate from the pool the mean since the start is used, without what an earlier run had done", () => {
  const fresh = play([started(0), phase(0, "p"), progress(10, "p", 50)]).phases[0];
  expect(fresh && phaseRate(fresh, 10_000)).toBe(5);
  const resumed = play([started(0, true), phase(0, "p"), progress(0, "p", 40), progress(10, "p", 50)]).phases[0];
  expect(resumed && phaseRate(resumed, 10_000)).toBe(1);
  expect(resumed && phaseEta(resumed, 10_000)).toBe(50);
});

test("nobody claims to know the time left without a total or before the first progress", () => {
  const [first, second] = play([started(0), phase(0, "a"), phase(0, "b", null), progress(5, "b", 10, 2)]).phases;
  expect(first && phaseEta(first, 5000)).toBeNull();
  expect(second && phaseEta(second, 5000)).toBeNull();
});

test("workers stand in the order of their numbers", () => {
  const worker = (name: string) =>
    at(0, { type: "worker", worker: name, state: "busy", device: null, done: 0, ratePerSecond: null, detail: null });
  const view = play(["worker-10", "worker-2", "worker-1"].map(worker));
  expect(view.workers.map(({ name }) => name)).toEqual(["worker-1", "worker-2", "worker-10"]);
});

test("the same warning again is counted, not listed again, and only the last twenty are kept", () => {
  const warning = (message: string) => at(0, { type: "warning", message, hint: null });
  const view = play([
    ...Array.from({ length: 30 }, (_, index) => warning(`w${index}`)),
    warning("w20"),
    warning("w20"),
  ]);
  expect(view.notices).toHaveLength(20);
  expect(view.notices.at(-1)).toMatchObject({ text: "w20", count: 3 });
});

test("escape codes and line breaks in a message cannot repaint the terminal", () => {
  const message = "a\u001b[2J\u001b[31mb\r\nc\u0007\u202ed";
  const view = play([at(0, { type: "log", source: "worker-0", level: "error", text: message })]);
  expect(view.notices[0]?.text).toBe("worker-0: ab c d");
});

test("a second run on the same stream starts with an empty view", () => {
  const view = play([started(0)], play(recordedRun()));
  expect(view).toMatchObject({ phases: [], metrics: [], notices: [], finished: null, summaries: [] });
});

test("losses stay bounded, and equally long blocks keep the mean of everything", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 10, noNaN: true }), { minLength: 1, maxLength: 2000 }), (losses) => {
      const history = losses.reduce(addLoss, emptyLossHistory);
      expect(lossPoints(history).length).toBeLessThanOrEqual(256);
      const closed = history.points.reduce((sum, value) => sum + value * history.stride, 0) + history.open.sum;
      expect(closed).toBeCloseTo(
        losses.reduce((sum, value) => sum + value, 0),
        6,
      );
    }),
    { numRuns: 50 },
  );
});
