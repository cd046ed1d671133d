/** What a worker says of itself is checked against the job: one that joined never ends the work of the others. */
import { expect, test } from "vitest";
import { Answers } from "../../../src/pool/answers.js";
import { describing } from "../../../src/pool/jobs/index.js";
import { advance } from "../../../src/pool/reducer.js";
import { PoolReport } from "../../../src/pool/report.js";
import { Run } from "../../../src/pool/run.js";
import { emptyPool } from "../../../src/pool/state.js";
import { PROTOCOL_VERSION } from "../../../src/protocol/version.js";
import { EventStream } from "../../../src/report/events.js";
import { fakeModel } from "../../fixtures/fake-pool.js";
import { contract } from "../embeddings/stores.js";

/** A pool that has just begun a job, with a place of its own and a guest; what comes of what they say. */
function beginning() {
  const told: string[] = [];
  const state = emptyPool("test", ["w0"], true);
  const run = new Run(describing(fakeModel), 16);
  advance(state, { type: "joined", worker: "far.0" });
  advance(state, { type: "begin", plan: { ...run.plan(3), kind: "encode", unitCount: 9, rowCount: () => 1 } });
  advance(state, { type: "hello", worker: "w0" });
  const answers = new Answers(state, new PoolReport(new EventStream()), 2, {
    run: () => run,
    feed: (event) => void advance(state, event),
    kill: (worker, reason) => void told.push(`${worker} ${reason}`),
    end: (_run, error) => void told.push(`the end: ${error.message}`),
  });
  const ready = (worker: string, fingerprint: string) => {
    const model = { ...contract, fingerprint };
    answers.ready(worker, { v: PROTOCOL_VERSION, type: "ready", model, crossEncoder: null, credits: 64 });
  };
  return { state, told, ready };
}

test("a guest with another model is turned away once it is known what the model is", () => {
  const { state, told, ready } = beginning();
  ready("w0", "a".repeat(64));
  ready("far.0", "b".repeat(64));
  expect(told).toEqual([expect.stringMatching(/^far\.0 does not fit in: far\.0 has another model than the others/)]);
  expect(state.workers.get("far.0")?.phase).toBe("loading");
});

test("a worker of the pool's own with another model ends the job, whoever came first", () => {
  const { told, ready } = beginning();
  ready("far.0", "b".repeat(64));
  ready("w0", "a".repeat(64));
  expect(told).toEqual([expect.stringMatching(/^the end: w0 has another model than the others/)]);
});

test("a worker gets as much ahead as the user allows, however much it asks for", () => {
  const { state, ready } = beginning();
  ready("w0", "a".repeat(64));
  expect(state.workers.get("w0")?.credits).toBe(2);
});
