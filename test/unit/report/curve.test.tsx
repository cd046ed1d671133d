/** How a user sees the measures of checkpoints while training goes on: in the view, as plain lines, on the dashboard. */
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { stripVTControlCharacters } from "node:util";
import { Text } from "ink";
import { cleanup, render } from "ink-testing-library";
import { afterEach, expect, test } from "vitest";
import { Dashboard } from "../../../src/report/dashboard/dashboard.js";
import { chooseTheme } from "../../../src/report/dashboard/theme.js";
import type { EventBody, QuarryEvent } from "../../../src/report/events.js";
import { plainReporter } from "../../../src/report/plain.js";
import { Sink } from "../../../src/report/sink.js";
import { emptyView, reduce } from "../../../src/report/state.js";

afterEach(cleanup);

const at = (seconds: number, body: EventBody) => ({ ...body, time: seconds * 1000 }) as QuarryEvent;
const step = at(5, {
  ...{ type: "trainStep", step: 30, maxSteps: 40, loss: 0.5, learningRate: 1e-5, gradNorm: null },
  ...{ stepsPerSecond: 1, waitShare: 0 },
});
const evaluation = (of: number, value: number, best: { step: number; value: number }) =>
  at(of, {
    ...{ type: "evaluation", step: of, measure: "nDCG@10", queryCount: 300, best },
    values: { "nDCG@10": value, "R@100": 0.9 },
  });
const events = [
  step,
  evaluation(10, 0.41, { step: 10, value: 0.41 }),
  evaluation(20, 0.52, { step: 20, value: 0.52 }),
  evaluation(30, 0.48, { step: 20, value: 0.52 }),
];

test("evaluations stand in the order of their steps, each once", () => {
  const [, first, second, third] = events as [QuarryEvent, QuarryEvent, QuarryEvent, QuarryEvent];
  const view = [third, first, second, third].reduce(reduce, emptyView);
  expect(view.evaluations.map((each) => each.step)).toEqual([10, 20, 30]);
});

test("a plain line says what was measured, and which checkpoint is the best", async () => {
  const out = new PassThrough();
  const listener = plainReporter(new Sink(out, () => {}), new Sink(new PassThrough(), () => {}));
  for (const event of events.slice(2)) listener(event);
  out.end();
  expect(await text(out)).toBe(
    "[0:00] step 20 evaluated: nDCG@10 0.5200, R@100 0.9000 (300 queries); the best so far\n" +
      "[0:10] step 30 evaluated: nDCG@10 0.4800, R@100 0.9000 (300 queries); best nDCG@10 0.5200 at step 20\n",
  );
});

test("the dashboard draws the curve below the loss", () => {
  const view = events.reduce(reduce, emptyView);
  const theme = chooseTheme({ NO_COLOR: "1" });
  const { rerender, lastFrame } = render(<Text> </Text>);
  rerender(<Dashboard {...{ view, columns: 80, rows: 24, now: 40_000, theme, isStopping: false, hasKeys: true }} />);
  const lines = stripVTControlCharacters(lastFrame() ?? "").split("\n");
  const loss = lines.findIndex((line) => line.startsWith("loss"));
  expect(lines[loss]).toContain("0.5000");
  expect(lines[loss + 1]).toBe("nDCG@10 0.4800  at step 30  best 0.5200 at step 20  ▁█▆");
});
