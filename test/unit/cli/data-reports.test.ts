/** How `quarry data` draws: within the width of the terminal, plain where it is piped, readable in every line. */
import { describe, expect, test } from "vitest";
import { describeCheck } from "../../../src/cli/data/check.js";
import { bar, cut, type Layout, sideBySide } from "../../../src/cli/data/layout.js";
import { describeStep } from "../../../src/cli/data/show.js";
import { describeStats } from "../../../src/cli/data/stats.js";
import type { CheckReport, DataStats, ShownStep, Summary } from "../../../src/index.js";
import { alignedLines, displayWidth } from "../../../src/report/text-width.js";

const terminal: Layout = { width: 80, isTerminal: true, isFull: false, folder: "/srv/data/sets" };
const piped: Layout = { ...terminal, isTerminal: false };

describe("bars", () => {
  test("are eighths of a block in a terminal and signs of ASCII in a pipe", () => {
    expect(bar(0.5, 9, terminal)).toBe("████▌");
    expect(bar(0.5, 10, piped)).toBe("#####");
  });

  test("show whatever is more than nothing, and nothing for nothing", () => {
    expect([bar(1e-9, 10, terminal), bar(1e-9, 10, piped), bar(0, 10, piped)]).toEqual(["▏", "#", ""]);
  });
});

test("columns are aligned by what a terminal shows", () => {
  expect(
    alignedLines([
      ["名前", "1"],
      ["b", "1,000"],
    ]),
  ).toEqual(["名前      1", "b     1,000"]);
});

test("two blocks stand side by side only where there is room", () => {
  expect(sideBySide(["ab", "c"], ["d"], 10)).toEqual(["ab   d", "c"]);
  expect(sideBySide(["ab", "c"], ["d"], 5)).toEqual(["ab", "c", "d"]);
});

test("texts are cut to the width with a sign, or shown in full, and cannot repaint the terminal", () => {
  const text = `evil \u001b[2J${"text ".repeat(40)}`;
  expect(displayWidth(cut(text, 4, terminal))).toBe(80);
  expect(cut(text, 4, terminal)).toMatch(/^ {4}evil text .*…$/);
  expect(cut(text, 0, { ...terminal, isFull: true })).toBe(text.replace("\u001b[2J", "").trim());
});

const summary: Summary = {
  count: 3,
  least: 1,
  most: 40,
  mean: 14.6667,
  quantiles: { p5: 1, p25: 1, p50: 3, p75: 40, p95: 40 },
  bins: [
    { from: 0, below: 20, count: 2 },
    { from: 20, below: null, count: 1 },
  ],
};
const stats: DataStats & { cache: { folder: string; entries: [] } } = {
  sources: [
    {
      options: ["evaluate.data"],
      name: "tiny",
      passages: {
        files: ["/data/corpus.jsonl"],
        rowCount: 3,
        emptyCount: 1,
        measuredCount: 3,
        untitledShare: 1 / 3,
        characters: summary,
        words: summary,
      },
      queries: null,
      qrels: {
        files: ["/data/test.tsv"],
        steps: [{ step: "qrels", judgements: 12345, queries: 3 }],
        labels: [
          { from: 0, below: 0.5, count: 5 },
          { from: 0.5, below: 1, count: 12340 },
        ],
        perQuery: summary,
      },
    },
  ],
  training: null,
  cache: { folder: "/cache", entries: [] },
};

test.each([terminal, piped, { ...terminal, width: 50 }, { ...terminal, width: 160 }])(
  "statistics stay within the width: %o",
  (layout) => {
    const lines = describeStats("tiny", stats, layout).split("\n");
    expect(lines.filter((line) => displayWidth(line) > layout.width)).toEqual([]);
    const block = layout.isTerminal ? "█" : "#";
    expect(lines.filter((line) => line.includes(block)).length).toBeGreaterThan(0);
  },
);

test("statistics say whole numbers by their ranges and real ones by their borders", () => {
  const text = describeStats("tiny", stats, piped);
  expect(text).toContain("0 – 19");
  expect(text).toContain("≥ 20");
  expect(text).toContain("0.5 – < 1");
  expect(text).toContain("1 empty; 33.3 % without a title");
  expect(text).toContain("qrels      12,345        3");
});

describe("a check", () => {
  const report: CheckReport = {
    isSound: false,
    sources: [{ options: ["train.data.positives"], name: null, passages: 1234, queries: 5, judgements: 6 }],
    faults: [
      {
        kind: "emptyTexts",
        subject: "/srv/data/sets/corpus.jsonl",
        words: ["record has an empty text", "records have an empty text"],
        count: 1,
        examples: [{ place: "/srv/data/sets/corpus.jsonl:9", detail: '"d8"' }],
        hint: "Check these records.",
        policy: "warn",
        options: ["train.data.positives"],
      },
      {
        kind: "duplicateIds",
        subject: "/srv/data/sets/corpus.jsonl",
        words: ["record repeats an id", "records repeat an id"],
        count: 12,
        examples: [{ place: "/srv/data/sets/corpus.jsonl:3", detail: '"d1" (first in line 2)' }],
        hint: "Give each record an id of its own.",
        policy: "error",
        options: ["train.data.positives"],
      },
    ],
    problems: [{ option: "evaluate.data", message: "/srv/data/sets/no.tsv: no such file.", hint: "Correct the path." }],
    notes: [],
  };

  test("tells what stops a run first, with places, ways out and a verdict", () => {
    expect(describeCheck("tiny", report, terminal)).toMatchInlineSnapshot(`
      "source                passages  queries  judgements
      train.data.positives     1,234        5           6

      error: evaluate.data cannot be used
        no.tsv: no such file.
        → Correct the path.

      duplicateIds: 12 records repeat an id
        in corpus.jsonl (train.data.positives)
        error: a run stops here
          line 3: "d1" (first in line 2)
          and 11 more
        → Give each record an id of its own.

      emptyTexts: 1 record has an empty text
        in corpus.jsonl (train.data.positives)
        warn: a run tells this and goes on
          line 9: "d8"
        → Check these records.

      tiny: a run would stop: evaluate.data cannot be used; duplicateIds."
    `);
  });

  test("gives the lines of a note lines of their own, whole", () => {
    const long = `${"deep/".repeat(20)}a.tsv`;
    const note = `/srv/data/sets/a.tsv: 2 lines judge again:\n  /srv/data/sets/${long}:3: "q1"`;
    const told = describeCheck("tiny", { ...report, notes: [note] }, terminal);
    expect(told).toContain(`also\n  a.tsv: 2 lines judge again:\n    ${long}:3: "q1"\n\n`);
  });

  test("names no policy that would let pass what an option refuses", () => {
    const [, fault] = report.faults;
    const refused = { ...(fault as (typeof report.faults)[number]), kind: "tooFew" as const };
    const told = describeCheck("tiny", { ...report, faults: [refused], problems: [] }, terminal);
    expect(told).toContain('\ntooFew "error": 12 records');
    expect(told.split("\n").at(-1)).toBe("tiny: a run would stop: tooFew.");
  });

  test("of sound data is a table and a line", () => {
    const sound = { ...report, isSound: true, faults: [], problems: [] };
    expect(describeCheck("tiny", sound, terminal).split("\n").at(-1)).toBe("tiny: no faults.");
  });
});

test("a step names each text's place, who judged it, and for whom it is masked", () => {
  const origin = { file: "/srv/data/sets/corpus.jsonl", line: 12 };
  const text = { title: "", text: "long ".repeat(40), prompt: null, origin };
  const passage = { ...text, id: "d1", label: 1, maskedFor: 2 } as const;
  const judged = { origin: { file: "/srv/data/sets/train.tsv", line: 3 }, source: "mined" };
  const step: ShownStep = {
    step: 1500,
    seed: 7,
    stepsPerEpoch: 1,
    globalBatchSize: 1,
    passagesPerQuery: 2,
    fingerprint: "f",
    maskedPositives: 1,
    groups: [
      {
        place: 1500,
        epoch: 3,
        part: "train",
        query: { ...text, id: "q1", text: "what?" },
        passages: [
          { ...passage, role: "positive", judged },
          { ...passage, role: "padding", judged: null },
        ],
      },
    ],
  };
  const shown = describeStep(step, terminal);
  expect(shown.split("\n").filter((line) => displayWidth(line) > 80)).toEqual([]);
  expect(shown).toMatchInlineSnapshot(`
    "step 1,500 with seed 7: 1 query × 2 passages
    epoch 3; an epoch has 1 step
    1 passage is masked for some query of the step
    1 time as a known positive of that query, or a copy of one

    ── group 1 of 1, place 1,500, epoch 3, train ───────────────────────────────────
    query q1
      text   corpus.jsonl:12
        what?
    positive d1, label 1
      text   corpus.jsonl:12
      judged train.tsv:3 (mined)
      masked for 2 of 1 query
        long long long long long long long long long long long long long long long …
    padding"
  `);
});
