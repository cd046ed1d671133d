/** Plain and JSON lines of a recorded run, and what becomes of them when nobody reads any more. */
import { PassThrough, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { type EventBody, EventStream, type QuarryEvent } from "../../../src/report/events.js";
import { attachReporter, chooseKind } from "../../../src/report/index.js";
import { jsonReporter } from "../../../src/report/json.js";
import { plainReporter } from "../../../src/report/plain.js";
import { Sink } from "../../../src/report/sink.js";
import { emptyView, reduce } from "../../../src/report/state.js";
import { recordedRun } from "../../fixtures/recorded-run.js";

async function linesOf(kind: "plain" | "json", events: readonly QuarryEvent[]) {
  const [out, err] = [new PassThrough(), new PassThrough()];
  const [stdout, stderr] = [new Sink(out, () => {}), new Sink(err, () => {})];
  const listener = kind === "plain" ? plainReporter(stdout, stderr) : jsonReporter(stdout);
  for (const event of events) listener(event);
  out.end();
  err.end();
  return { stdout: await text(out), stderr: await text(err) };
}

test("data that the cache had is told as that, in lines and in JSON", async () => {
  const time = Date.UTC(2026, 0, 1);
  const phase = "evaluate-base/prepare";
  const events: QuarryEvent[] = [
    { time, type: "phaseStarted", phase, label: "prepare data", unit: "lines", total: null },
    { time: time + 200, type: "phaseFinished", phase, seconds: 0.2, done: 0, isCached: true },
  ];
  const { stdout } = await linesOf("plain", events);
  expect(stdout).toContain("prepare data: done in 0.2 s, the cache had all of it\n");
  expect((await linesOf("json", events)).stdout).toContain('"done":0,"isCached":true}');
  const view = events.reduce(reduce, emptyView);
  expect(view.phases[0]).toMatchObject({ done: 0, isCached: true });
});

test("a whole run as plain lines", async () => {
  const { stdout, stderr } = await linesOf("plain", recordedRun());
  expect(stderr).toBe("");
  expect(`\n${stdout}`).toMatchInlineSnapshot(`
    "
    [0:00] run scifact-minilm in runs/scifact-minilm
    [0:01] warning: 40 passages have the same text (See prepared.json for their ids.)
    [0:02] evaluate test (before training): started, 5,183 passages
    [0:11] warning: worker-1 lost: killed by SIGKILL; its work goes to others
    [0:12] evaluate test (before training): 1,920/5,183 passages (37 %), 192/s, 17 s left
    [0:22] evaluate test (before training): 3,840/5,183 passages (74 %), 192/s, 7.0 s left
    [0:29] evaluate test (before training): done, 5,183 passages in 27 s (192/s)
    [0:29] evaluate test (before training): nDCG@10 0.6451, RR@10 0.6051, R@100 0.9253 (300 queries)
    [0:31] train: started, 100 steps
    [0:33] step 1/100: loss 1.7744, learning rate 5.0e-5, 0.40 steps/s, 4 min 08 s left
    [0:58] step 11/100: loss 1.2397, learning rate 4.5e-5, 0.40 steps/s, 3 min 43 s left
    [1:23] step 21/100: loss 0.8816, learning rate 4.0e-5, 0.40 steps/s, 3 min 18 s left
    [1:48] step 31/100: loss 0.8071, learning rate 3.5e-5, 0.40 steps/s, 2 min 53 s left
    [2:13] step 41/100: loss 0.6657, learning rate 3.0e-5, 0.40 steps/s, 2 min 28 s left
    [2:38] step 51/100: loss 0.4558, learning rate 2.5e-5, 0.40 steps/s, 2 min 03 s left
    [3:03] step 61/100: loss 0.4698, learning rate 2.0e-5, 0.40 steps/s, 1 min 38 s left
    [3:28] step 71/100: loss 0.5093, learning rate 1.5e-5, 0.40 steps/s, 1 min 13 s left
    [3:53] step 81/100: loss 0.3644, learning rate 1.0e-5, 0.40 steps/s, 48 s left
    [4:18] step 91/100: loss 0.3315, learning rate 5.0e-6, 0.40 steps/s, 23 s left
    [4:41] step 100/100: loss 0.4034, learning rate 5.0e-7, 0.40 steps/s
    [4:42] checkpoint of step 100: runs/scifact-minilm/checkpoint-100
    [4:42] train: done, 100 steps in 4 min 11 s (0.40/s)
    [4:50] evaluate test (after training): started, 5,183 passages
    [5:00] evaluate test (after training): 1,920/5,183 passages (37 %), 192/s, 17 s left
    [5:10] evaluate test (after training): 3,840/5,183 passages (74 %), 192/s, 7.0 s left
    [5:17] evaluate test (after training): done, 5,183 passages in 27 s (192/s)
    [5:17] evaluate test (after training): nDCG@10 0.7103, RR@10 0.6703, R@100 0.9253 (300 queries)

                     nDCG@10   RR@10   R@100
    ───────────────  ───────  ──────  ──────
    before training   0.6451  0.6051  0.9253
    after training    0.7103  0.6703  0.9253

    done in 5 min 19 s
    run folder: runs/scifact-minilm
    "
  `);
});

test("one line, one query, one step: told in the singular", async () => {
  const at = (seconds: number, body: EventBody) => ({ ...body, time: seconds * 1000 }) as QuarryEvent;
  const { stdout } = await linesOf("plain", [
    at(0, { type: "phaseStarted", phase: "a", label: "encode queries", unit: "queries", total: 1 }),
    at(1, { type: "progress", phase: "a", done: 0, total: null, ratePerSecond: null }),
    at(61, { type: "progress", phase: "a", done: 0, total: null, ratePerSecond: null }),
    at(62, { type: "phaseFinished", phase: "a", seconds: 62, done: 1 }),
    at(62, { type: "metrics", phase: "a", label: "test", values: { "RR@10": 1 }, queryCount: 1 }),
  ]);
  expect(stdout.trimEnd().split("\n")).toEqual([
    "[0:00] encode queries: started, 1 query",
    "[1:01] encode queries: 0/1 query (0 %)",
    "[1:02] encode queries: done, 1 query in 1 min 02 s (0.02/s)",
    "[1:02] test: RR@10 1.0000 (1 query)",
  ]);
});

test("notices are told each time", async () => {
  const joined = { type: "notice", message: "far.0 joined.", hint: null, time: 0 } as const;
  const { stdout } = await linesOf("plain", [joined, { ...joined, hint: "again" }]);
  expect(stdout).toBe("[0:00] note: far.0 joined.\n[0:00] note: far.0 joined. (again)\n");
});

test("errors go to stderr, warnings of the same words come once, debug lines not at all", async () => {
  const at = (seconds: number, body: EventBody) => ({ ...body, time: seconds * 1000 }) as QuarryEvent;
  const { stdout, stderr } = await linesOf("plain", [
    at(0, { type: "log", source: "rank-0", level: "debug", text: "noise" }),
    at(1, { type: "log", source: "rank-0", level: "warning", text: "slow\ntokenizer" }),
    at(2, { type: "log", source: "rank-0", level: "warning", text: "slow\ntokenizer" }),
    at(3, { type: "error", code: "DATA", message: "corpus.jsonl:3: no field", hint: "Give each line an id." }),
    at(4, { type: "runFinished", status: "failed", seconds: 4, runDir: "runs/a" }),
  ]);
  expect(stdout).toBe("[0:01] warning: rank-0: slow tokenizer\nfailed after 4.0 s\nrun folder: runs/a\n");
  expect(stderr).toBe("[0:03] error: corpus.jsonl:3: no field (Give each line an id.)\n");
});

test("each event is one JSON line", async () => {
  const events = recordedRun();
  const { stdout } = await linesOf("json", events);
  const lines = stdout.trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toEqual(events);
  expect(lines[0]).toMatchInlineSnapshot(
    `"{"type":"runStarted","name":"scifact-minilm","runDir":"runs/scifact-minilm","steps":["evaluate","train","evaluate"],"isResumed":false,"time":1767268800000}"`,
  );
});

test("auto means a dashboard only on a terminal that somebody watches", () => {
  const terminal = Object.assign(new PassThrough(), { isTTY: true });
  expect(chooseKind("auto", terminal, { TERM: "xterm" }, true)).toBe("dashboard");
  expect(chooseKind("auto", terminal, { TERM: "xterm", CI: "false" }, true)).toBe("dashboard");
  expect(chooseKind("auto", terminal, { TERM: "xterm", CI: "1" }, true)).toBe("plain");
  expect(chooseKind("auto", terminal, { TERM: "dumb" }, true)).toBe("plain");
  expect(chooseKind("auto", new PassThrough(), { TERM: "xterm" }, true)).toBe("plain");
  expect(chooseKind("json", terminal, {}, true)).toBe("json");
  expect(chooseKind("auto", terminal, { TERM: "xterm" }, false)).toBe("plain");
  expect(chooseKind("dashboard", terminal, { TERM: "xterm" }, false)).toBe("dashboard");
});

/** A stream whose reader leaves after some writes. */
function leavingReader(code: string) {
  return new Writable({
    write: (_chunk, _encoding, done) => done(Object.assign(new Error(`write ${code}`), { code })),
  });
}

test.each(["plain", "json"] as const)("a reader that leaves stops a %s run once and quietly", async (kind) => {
  let interruptions = 0;
  const events = new EventStream();
  const stderr = new PassThrough();
  const onInterrupt = () => {
    interruptions += 1;
  };
  const reporter = await attachReporter(events, { kind, stdout: leavingReader("EPIPE"), stderr, onInterrupt });
  for (const { time: _, ...body } of recordedRun()) events.emit(body);
  await new Promise(setImmediate);
  for (const { time: _, ...body } of recordedRun()) events.emit(body);
  await reporter.close();
  stderr.end();
  expect(interruptions).toBe(1);
  expect(await text(stderr)).toBe("");
});

test("a stdout on a full disk is told on stderr, and the run goes on", async () => {
  const events = new EventStream();
  const stderr = new PassThrough();
  let isInterrupted = false;
  const reporter = await attachReporter(events, {
    kind: "plain",
    stdout: leavingReader("ENOSPC"),
    stderr,
    onInterrupt: () => {
      isInterrupted = true;
    },
  });
  events.emit({ type: "checkpoint", step: 1, path: "checkpoint-1" });
  await new Promise(setImmediate);
  await reporter.close();
  stderr.end();
  expect(isInterrupted).toBe(false);
  expect(await text(stderr)).toContain("stdout cannot be written");
});

test("every table of a run is shown, in the order in which they came", async () => {
  const events = new EventStream();
  const seen: QuarryEvent[] = [];
  events.subscribe((event) => seen.push(event));
  for (const asked of ["first question", "second question", "value"])
    events.emit({ type: "summary", columns: ["score", asked], rows: [["1", `answer to ${asked}`]] });
  events.emit({ type: "runFinished", status: "done", seconds: 1, runDir: "runs/x" });
  const { stdout } = await linesOf("plain", seen);
  expect(stdout.match(/answer to .*/g)).toEqual([
    "answer to first question",
    "answer to second question",
    "answer to value",
  ]);
});

test("refreshed negatives say when they were mined, from when on they count, and how old each step has them", async () => {
  const step = {
    type: "trainStep",
    maxSteps: 20,
    loss: 1.5,
    learningRate: 5e-5,
    gradNorm: 1,
    stepsPerSecond: null,
  } as const;
  const events: EventBody[] = [
    { ...step, step: 8, waitShare: 0, negatives: { version: 0, staleness: null } },
    { type: "negativesSwitched", version: 1, fromStep: 6, atStep: 9, staleness: 3, negatives: 4_800, seconds: 75 },
    { ...step, step: 20, waitShare: 0, negatives: { version: 1, staleness: 13 } },
  ];
  const { stdout } = await linesOf(
    "plain",
    events.map((event, at) => ({ ...event, time: at * 1_000 })),
  );
  expect(stdout.trimEnd().split("\n")).toEqual([
    "[0:00] step 8/20: loss 1.5000, learning rate 5.0e-5, given negatives",
    "[0:01] negatives 1: 4,800 mined in 1 min 15 s with the model of step 6, used after step 9, 3 steps old then",
    "[0:02] step 20/20: loss 1.5000, learning rate 5.0e-5, negatives 1, 13 steps old",
  ]);
});
