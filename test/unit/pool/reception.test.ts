/** Who may be let go by a user's command. */
import { expect, test } from "vitest";
import { Reception } from "../../../src/pool/reception.js";
import { PoolReport } from "../../../src/pool/report.js";
import { emptyPool, type WorkerPhase } from "../../../src/pool/state.js";
import { PROTOCOL_VERSION } from "../../../src/protocol/version.js";
import { EventStream } from "../../../src/report/events.js";

/** Asks for the first of the workers to leave; the phases are those of all workers. */
function drain(phases: readonly WorkerPhase[], isOpen = false) {
  const state = emptyPool(
    "p",
    phases.map((_, index) => `worker-${index}`),
    isOpen,
  );
  [...state.workers.values()].forEach((worker, index) => {
    worker.phase = phases[index] as WorkerPhase;
  });
  const left: string[] = [];
  const reception = new Reception(state, new PoolReport(new EventStream()));
  const message = { v: PROTOCOL_VERSION, type: "control", action: "drain", worker: "worker-0" } as const;
  const { isDone, text } = reception.control(message, (worker) => left.push(worker));
  expect(left).toEqual(isDone ? ["worker-0"] : []);
  return { isDone, text };
}

test("a worker leaves where another one works or can be started, but not the last one that can work", () => {
  expect(drain(["ready", "ready"]).isDone).toBe(true);
  expect(drain(["ready", "absent"]).isDone).toBe(true);
  for (const phases of [["ready"], ["ready", "retired"], ["ready", "broken"], ["ready", "broken", "broken"]] as const) {
    expect(drain(phases), phases.join()).toEqual({
      isDone: false,
      text: "worker-0 is the last worker and no other can join: stop the run instead (Ctrl-C).",
    });
    expect(drain(phases, true).isDone, phases.join()).toBe(true);
  }
});
