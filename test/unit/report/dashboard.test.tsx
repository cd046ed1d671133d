/** Frames of the dashboard: what a user sees at two sizes, with few and many workers, long and wide names. */
import { stripVTControlCharacters } from "node:util";
import fc from "fast-check";
import { Text } from "ink";
import { cleanup, render } from "ink-testing-library";
import { afterEach, expect, test } from "vitest";
import { Dashboard } from "../../../src/report/dashboard/dashboard.js";
import { layOut } from "../../../src/report/dashboard/layout.js";
import { chooseTheme } from "../../../src/report/dashboard/theme.js";
import type { EventBody, QuarryEvent } from "../../../src/report/events.js";
import { emptyView, reduce, type ViewState } from "../../../src/report/state.js";
import { displayWidth } from "../../../src/report/text-width.js";
import { recordedRun } from "../../fixtures/recorded-run.js";

afterEach(cleanup);

const start = recordedRun()[0]?.time ?? 0;
const at = (seconds: number, body: EventBody) => ({ ...body, time: start + seconds * 1000 }) as QuarryEvent;
const play = (events: readonly QuarryEvent[], from: ViewState = emptyView) => events.reduce(reduce, from);
/** The recorded run up to a second. */
const until = (seconds: number) => recordedRun().filter(({ time }) => time <= start + seconds * 1000);

function frame(view: ViewState, columns: number, rows: number, seconds: number, isStopping = false): string {
  return frames([view], columns, rows, seconds, { isStopping })[0] ?? "";
}

/** Frames that follow each other on one terminal. */
function frames(
  views: readonly ViewState[],
  columns: number,
  rows: number,
  seconds: number,
  { isStopping = false, hasKeys = true } = {},
): string[] {
  const theme = chooseTheme({ NO_COLOR: "1" });
  const { stdout, rerender, lastFrame, unmount } = render(<Text> </Text>);
  // The library's terminal is 100 columns wide; Ink asks for the width again with each frame.
  Object.defineProperty(stdout, "columns", { value: columns });
  const shown = views.map((view) => {
    const props = { view, columns, rows, now: start + seconds * 1000, theme, isStopping, hasKeys };
    rerender(<Dashboard {...props} />);
    return stripVTControlCharacters(lastFrame() ?? "");
  });
  unmount();
  return shown;
}

function workers(count: number, name: (index: number) => string = (index) => `worker-${index}`): QuarryEvent[] {
  return Array.from({ length: count }, (_, index) =>
    at(20, {
      type: "worker",
      worker: name(index),
      state: index === 25 ? "lost" : index % 7 === 6 ? "ready" : "busy",
      device: `cuda:${index % 8}`,
      done: index * 1000,
      ratePerSecond: index === 25 ? null : 60 + index,
      detail: index === 25 ? "killed by SIGKILL; its work goes to others" : `unit passages-${index}`,
    }),
  );
}

const measureFit = (text: string) => {
  const lines = text.split("\n");
  return { height: lines.length, width: Math.max(...lines.map(displayWidth)) };
};

test("one worker in an evaluation, 80 × 24", () => {
  const view = play([...until(3).filter(({ type }) => type !== "worker"), ...workers(1)]);
  expect(`\n${frame(view, 80, 24, 3)}\n`).toMatchInlineSnapshot(`
    "
    quarry  scifact-minilm  evaluate → train → evaluate                         0:03

    ▸ evaluate test (before training)                                           0:01
      ╸──────────────────────   3 %   192/5,183 passages     192/s 26 s left

    worker   state    device       rate        done
    worker-0 busy     cuda:0     60.0/s           0 unit passages-0

    ! warning 40 passages have the same text (See prepared.json for their ids.)

    runs/scifact-minilm                                             q: stop and save
    "
  `);
});

test("a training with measures from before, 80 × 24", () => {
  expect(`\n${frame(play(until(160)), 80, 24, 160)}\n`).toMatchInlineSnapshot(`
    "
    quarry  scifact-minilm  evaluate → train → evaluate                         2:40

    ✓ evaluate test (before training)          5,183 passages         27 s     192/s

    ▸ train                                                                     2:09
      ━━━━━━━━━━━━━━━───────────────  51 %  51/100 steps    0.40/s 2 min 01 s left

    worker state    device       rate        done
    rank-0 busy     cpu        0.40/s          51

    loss   0.4558  lr 2.5e-5  grad 1.3  0.40 steps/s  waits 2 %  ██▆▆▅▅▄▄▃▂▂▂▂▁▁▁▁▁▁

    measures                                               nDCG@10    RR@10    R@100
    evaluate test (before training)                         0.6451   0.6051   0.9253

    ! warning 40 passages have the same text (See prepared.json for their ids.)

    runs/scifact-minilm                                             q: stop and save
    "
  `);
});

test("a training, 120 × 40, after a first q", () => {
  expect(`\n${frame(play(until(160)), 120, 40, 160, true)}\n`).toMatchInlineSnapshot(`
    "
    quarry  scifact-minilm  evaluate → train → evaluate                                                                 2:40

    ✓ evaluate test (before training)                              5,183 passages         27 s     192/s

    ▸ train                                                                                         2:09
      ━━━━━━━━━━━━━━━━━━━━━━━━━╸────────────────────────  51 %  51/100 steps    0.40/s 2 min 01 s left

    worker state    device       rate        done
    rank-0 busy     cpu        0.40/s          51

    loss   0.4558  lr 2.5e-5  grad 1.3  0.40 steps/s  waits 2 %  ██▇▇▇▆▆▆▆▅▅▆▅▄▅▅▄▄▄▄▃▃▄▃▂▃▃▂▂▃▃▂▂▂▂▁▂▂▁▁▂▂▁▁▂▁▁▁▂▁▁

    measures                                                                   nDCG@10    RR@10    R@100
    evaluate test (before training)                                             0.6451   0.6051   0.9253

    ! warning 40 passages have the same text (See prepared.json for their ids.)

    runs/scifact-minilm                                                              stopping and saving · q again: stop now
    "
  `);
});

test("three workers of which one died, 120 × 40", () => {
  expect(`\n${frame(play(until(11)), 120, 40, 11)}\n`).toMatchInlineSnapshot(`
    "
    quarry  scifact-minilm  evaluate → train → evaluate                                                                 0:11

    ▸ evaluate test (before training)                                                               0:09
      ━━━━━━━━━━━━━━─────────────────────────────  33 % 1,728/5,183 passages     192/s 18 s left

    worker   state    device       rate        done
    worker-0 busy     cuda:0     64.2/s         576 unit passages-27
    worker-1 busy     cuda:0     64.2/s         576 unit passages-28
    worker-2 busy     cuda:0     64.2/s         576 unit passages-29

    ! warning 40 passages have the same text (See prepared.json for their ids.)

    runs/scifact-minilm                                                                                     q: stop and save
    "
  `);
});

test("forty workers at 80 × 24: a lost one is shown, the rest is counted", () => {
  const view = play([...until(28), ...workers(40)]);
  expect(`\n${frame(view, 80, 24, 28)}\n`).toMatchInlineSnapshot(`
    "
    quarry  scifact-minilm  evaluate → train → evaluate                         0:28

    ▸ evaluate test (before training)                                           0:26
      ━━━━━━━━━━━━━━━━━━━━━━─  96 % 4,992/5,183 passages     192/s 1.0 s left

    worker    state    device       rate        done
    worker-0  busy     cuda:0     60.0/s           0 unit passages-0
    worker-1  busy     cuda:1     61.0/s       1,000 unit passages-1
    worker-2  busy     cuda:2     62.0/s       2,000 unit passages-2
    worker-3  busy     cuda:3     63.0/s       3,000 unit passages-3
    worker-4  busy     cuda:4     64.0/s       4,000 unit passages-4
    worker-5  busy     cuda:5     65.0/s       5,000 unit passages-5
    worker-6  ready    cuda:6     66.0/s       6,000 unit passages-6
    worker-7  busy     cuda:7     67.0/s       7,000 unit passages-7
    worker-8  busy     cuda:0     68.0/s       8,000 unit passages-8
    worker-9  busy     cuda:1     69.0/s       9,000 unit passages-9
    worker-10 busy     cuda:2     70.0/s      10,000 unit passages-10
    worker-25 lost     cuda:1          –      25,000 killed by SIGKILL; its work go…
    … and 28 more (24 busy, 4 ready)

    ! warning 40 passages have the same text (See prepared.json for their ids.)

    runs/scifact-minilm                                             q: stop and save
    "
  `);
});

test("long and wide names are cut to their columns", () => {
  const label = "評価：東京大学の検索コーパスによる非常に長い名前の評価フェーズ（訓練前）その一";
  const view = play([
    at(0, {
      type: "runStarted",
      name: "コーパス-実験",
      runDir: `/data/${"long/".repeat(30)}run`,
      steps: ["evaluate"],
      isResumed: true,
    }),
    at(0, { type: "phaseStarted", phase: "a", label, unit: "passages", total: 8_841_823 }),
    at(9, { type: "phaseFinished", phase: "a", seconds: 9, done: 8_841_823 }),
    at(9, { type: "phaseStarted", phase: "c", label: "prepare data", unit: "lines", total: null }),
    at(9, { type: "phaseFinished", phase: "c", seconds: 0.2, done: 0, isCached: true }),
    at(9, { type: "phaseStarted", phase: "b", label, unit: "passages", total: 8_841_823 }),
    at(19, { type: "progress", phase: "b", done: 1_234_567, total: null, ratePerSecond: 12_345 }),
    at(19, { type: "metrics", phase: "a", label, values: { "nDCG@10": 0.5, "Success@1": 1 }, queryCount: 3 }),
    at(19, { type: "error", code: "DATA", message: `コーパス.jsonl:3: ${"重複".repeat(60)}`, hint: "x" }),
    ...workers(3, (index) => `作業者の長い長い名前の番号-${index}`),
  ]);
  const text = frame(view, 80, 24, 20);
  expect(measureFit(text).width).toBeLessThanOrEqual(80);
  expect(`\n${text}\n`).toMatchInlineSnapshot(`
    "
    quarry  コーパス-実験  resumed  evaluate                                    0:20

    ✓ 評価：東京大学の検索コーパスによる非…8,841,823 passages        9.0 s 982,425/s
    ✓ prepare data                               in the cache        0.2 s

    ▸ 評価：東京大学の検索コーパスによる非常に長い名前の評価フェーズ（訓練前）… 0:11
      ━━─────────────  13 % 1,234,567/8,841,823 passages  12,345/s 10 min 15 s left

    worker               state    device       rate        done
    作業者の長い長い名前…busy     cuda:0     60.0/s           0 unit passages-0
    作業者の長い長い名前…busy     cuda:1     61.0/s       1,000 unit passages-1
    作業者の長い長い名前…busy     cuda:2     62.0/s       2,000 unit passages-2

    measures                                                       nDCG@10 Success@1
    評価：東京大学の検索コーパスによる非常に長い名前の評価フェー…   0.5000    1.0000

    ✗ error コーパス.jsonl:3: 重複重複重複重複重複重複重複重複重複重複重複重複重複重

    /data/long/long/long/long/long/…g/long/long/long/long/long/run  q: stop and save
    "
  `);
});

test("a frame never is higher or wider than its terminal, whatever there is to show", () => {
  const size = { columns: fc.integer({ min: 40, max: 150 }), rows: fc.integer({ min: 4, max: 60 }) };
  const many = { second: fc.integer({ min: 0, max: 318 }), count: fc.integer({ min: 0, max: 70 }) };
  fc.assert(
    fc.property(fc.record({ ...size, ...many }), ({ columns, rows, second, count }) => {
      const view = play([...until(second), ...workers(count, (index) => `w${"長".repeat(index % 15)}${index}`)]);
      const { height, width } = measureFit(frame(view, columns, rows, second));
      expect(height).toBeLessThan(rows);
      expect(width).toBeLessThanOrEqual(columns);
    }),
    { numRuns: 25 },
  );
});

test("the same words at several levels stay lines of their own, and none is left behind", () => {
  const said = (type: "notice" | "warning", message = "same") => at(1, { type, message, hint: null });
  const failed = at(1, { type: "error", code: "DATA", message: "same", hint: null });
  const first = play([said("warning"), failed, said("notice")]);
  const views = [1, 2, 3, 4].reduce(
    (seen, round) => [...seen, play([said("notice", `other${round % 2}`), said("notice")], seen.at(-1))],
    [first],
  );
  const last = frames(views, 80, 24, 1).at(-1) ?? "";
  expect(last.match(/same|other/g)).toHaveLength(3);
  expect(last).toContain("→ note same (5 times)");
});

test("where no key is read the way to stop is Ctrl-C", () => {
  const footer = (isStopping: boolean) => frames([emptyView], 80, 24, 1, { isStopping, hasKeys: false })[0];
  expect(footer(false)).toMatch(/ {2}Ctrl-C: stop and save$/);
  expect(footer(true)).toMatch(/stopping and saving · Ctrl-C again: stop now$/);
});

test("one thing is told in the singular", () => {
  const view = play([
    at(0, { type: "phaseStarted", phase: "a", label: "encode queries", unit: "queries", total: 1 }),
    at(1, { type: "phaseFinished", phase: "a", seconds: 1, done: 1 }),
    at(1, { type: "phaseStarted", phase: "b", label: "train", unit: "steps", total: 1 }),
  ]);
  const text = frame(view, 80, 24, 2);
  expect(text).toMatch(/encode queries .* 1 query /);
  expect(text).toMatch(/ 0\/1 step$/m);
});

test("what is urgent keeps its place in a very low terminal", () => {
  const view = play([...until(28), ...workers(40), at(28, { type: "warning", message: "w", hint: null })]);
  expect(layOut(view, 6)).toMatchObject({ active: 1, notices: 1, workers: 0, isAiry: false });
});

test("NO_COLOR takes every colour away", () => {
  expect(Object.values(chooseTheme({ NO_COLOR: "1" })).every((tone) => Object.keys(tone).length === 0)).toBe(true);
  expect(chooseTheme({ NO_COLOR: "" }).error).toMatchObject({ color: "red" });
});
