/** The page that a report is: what it shows of one run and of several, and that nothing of a run is markup in it. */
import { describe, expect, test } from "vitest";
import { ticks } from "../../../src/report/html/chart.js";
import { html } from "../../../src/report/html/markup.js";
import { reportPage } from "../../../src/report/html/page.js";
import type { ReportedRun, ReportedTraining } from "../../../src/report/html/types.js";

const flat = (values: readonly number[]) =>
  values.map((value, index) => ({ step: index + 1, mean: value, least: value, most: value }));

const training: ReportedTraining = {
  steps: 3,
  maxSteps: 4,
  lastLoss: 0.5,
  waitShare: 0.012,
  loss: flat([2, 1, 0.5]),
  learningRate: flat([0, 1e-5, 2e-5]),
  gradNorm: [],
  evaluations: [
    { step: 1, values: { "nDCG@10": 0.5, "scifact/nDCG@10": 0.4 } },
    { step: 3, values: { "nDCG@10": 0.6, "scifact/nDCG@10": 0.7 } },
  ],
  best: { step: 3, measure: "nDCG@10", value: 0.6 },
  switches: [2],
};

const run: ReportedRun = {
  name: "a",
  path: "/runs/a",
  status: "done",
  startedAt: Date.UTC(2026, 0, 2, 3, 4),
  seconds: 90,
  starts: 2,
  evaluations: [
    { step: "evaluate-base", set: null, values: { "nDCG@10": 0.5, "R@100": 0.9 }, estimates: {} },
    { step: "evaluate-checkpoint-3", set: null, values: { "nDCG@10": 0.6, "R@100": 0.9 }, estimates: {} },
  ],
  training,
  moved: null,
  phases: [{ label: "train", unit: "steps", done: 3, seconds: 6, isCached: false }],
  notes: [],
  experiment: { name: "a", train: { loss: { name: "infonce" }, args: { maxSteps: 4 } } },
  environment: { quarry: "0.1.0" },
};

/** What a reader sees: tags are gone, runs of blanks are one. */
const words = (page: string): string =>
  page
    .replace(/<style>.*<\/style>/s, "")
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ");

describe("a page on one run", () => {
  const page = reportPage([run]);

  test("tells how it ended, its measures with their gains, and its training", () => {
    const seen = words(page);
    expect(seen).toContain("done , started 2026-01-02 03:04 UTC, 1 min 30 s at work in 2 starts");
    expect(seen).toContain("evaluate-checkpoint-3 0.6000 +0.1000 0.9000 +0.0000");
    expect(seen).toContain(
      "3 of 4 steps, last loss 0.5000, 1.2 % of the time spent waiting for data, best nDCG@10 0.6000 at step 3, negatives mined anew once",
    );
    expect(seen).toContain("train 3 steps 6.0 s 0.50/s");
  });

  test("draws no chart without points, and of a suite the averages alone", () => {
    const titles = [...page.matchAll(/<figcaption>([^<]*)</g)].map(([, title]) => title);
    expect(titles).toEqual(["loss", "nDCG@10", "learning rate"]);
  });

  test("needs nothing but itself", () => {
    expect(page).toContain("default-src 'none'; style-src 'unsafe-inline'");
    expect(page).not.toMatch(/<script|<link|<img|url\(|https?:/);
  });
});

test("one step, one query, one line: told in the singular", () => {
  const phase = { label: "encode queries", unit: "queries", done: 1, seconds: 1, isCached: false };
  const moved = { measure: "RR", from: "a", to: "b", better: 1, worse: 0, equal: 0, bins: [0, 0, 1], most: [] };
  const few = { ...run, training: { ...training, steps: 1, maxSteps: 1 }, phases: [phase], moved };
  const page = reportPage([few]);
  expect(words(page)).toContain("1 step, last loss");
  expect(words(page)).toContain("encode queries 1 query 1.0 s");
  expect(page).toContain("<title>1 query by ");
  const started = reportPage([{ ...few, training: { ...training, steps: 1 } }]);
  expect(words(started)).toContain("1 of 4 steps, last loss");
});

test("a run that says little gives a page all the same", () => {
  const bare = { ...run, status: "not started", startedAt: null, evaluations: [], training: null, phases: [] } as const;
  expect(words(reportPage([bare]))).toContain("not started , never started");
});

test("what was told, ids of queries and names are text, never markup", () => {
  const evil = `<script>alert("1")</script>\u001b[31m`;
  const page = reportPage([
    {
      ...run,
      name: evil,
      notes: [{ level: "warning", text: evil, hint: evil, count: 2 }],
      moved: {
        ...{ measure: evil, from: evil, to: evil, better: 1, worse: 0, equal: 0, bins: [0, 0, 1] },
        most: [{ query: evil, before: 0, after: 1 }],
      },
      experiment: { name: evil },
    },
  ]);
  expect(page).not.toContain("<script");
  expect(page).not.toContain("\u001b");
  expect(page).toContain("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;\ufffd[31m");
});

test("values of a template are escaped, markup and lists of it are not, and what is absent is nothing", () => {
  expect(html`<b>${"a & b"}</b>${[html`<i>${1}</i>`, "<"]}${null}${false}${undefined}`.text).toBe(
    "<b>a &amp; b</b><i>1</i>&lt;",
  );
});

describe("a page on several runs", () => {
  const other: ReportedRun = {
    ...run,
    name: "b",
    evaluations: [{ step: "evaluate-base", set: null, values: { "nDCG@10": 0.7 }, estimates: {} }],
    experiment: { name: "b", train: { loss: { name: "triplet" }, args: { maxSteps: 4 } } },
  };
  const page = reportPage([run, other]);

  test("shows the options in which they differ, and no other", () => {
    expect(words(page)).toMatch(
      /Options that differ option a b train\.loss\.name &quot;infonce&quot; &quot;triplet&quot; Training/,
    );
    expect(words(reportPage([run, { ...run, name: "c" }]))).toContain("Options that differ None.");
  });

  test("marks the best value of a measure among all", () => {
    const best = [...page.matchAll(/<td class="best">([\d.]+)/g)].map(([, value]) => value);
    expect(best).toEqual(["0.9000", "0.9000", "0.7000"]);
  });

  test("draws their curves on common axes, and tells them apart by colour", () => {
    const [loss] = page.match(/<figcaption>loss.*?<\/figure>/s) ?? [""];
    expect([...loss.matchAll(/class="line (c\d)"/g)].map(([, colour]) => colour)).toEqual(["c0", "c1"]);
  });
});

test("values of different data sets do not compete, and an estimate stands below its value", () => {
  const suite = [
    { step: "evaluate-base", set: "easy", values: { "nDCG@10": 0.9 }, estimates: {} },
    { step: "evaluate-base", set: "hard", values: { "nDCG@10": 0.2 }, estimates: { "nDCG@10": "0.15 (0.1 to 0.2)" } },
  ];
  const page = reportPage([{ ...run, evaluations: suite }]);
  expect(page).not.toContain('class="best"');
  expect(words(page)).toContain("hard 0.2000 all passages, estimated: 0.15 (0.1 to 0.2)");
});

test.each([
  [
    [0, 1],
    [0, 0.2, 0.4, 0.6, 0.8, 1],
  ],
  [
    [0.61, 0.64],
    [0.61, 0.62, 0.63, 0.64],
  ],
  [
    [-3, 12],
    [0, 5, 10],
  ],
  [
    [0, 2e-5],
    [0, 5e-6, 1e-5, 1.5e-5, 2e-5],
  ],
] as const)("ticks between %j are round numbers", (range, wanted) => {
  expect(ticks(range, 5)).toEqual(wanted);
});
