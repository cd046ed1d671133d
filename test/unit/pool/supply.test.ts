/** Who may not see this disk is sent vectors; the others are told where in its files they lie. */
import { expect, test } from "vitest";
import { Supply } from "../../../src/pool/supply.js";
import type { DownMessage, Task, Unversioned } from "../../../src/protocol/messages.js";

const files = ["/cache/shard/vectors.arrow"];
const task: Extract<Task, { kind: "search" }> = {
  ...{ kind: "search", model: null, files, vectorDtype: "float32", trackedCount: 0, batchSize: 8 },
  scoring: { similarity: "dot", isNormalizing: false, plugins: [] },
  ...{ topK: 5, queryCount: 1, dimension: 4, snapshotEveryUnits: 16 },
};
const units = {
  ...{ count: 1, id: () => "vectors-0", rowCount: () => 1, rows: () => Int32Array.of(0) },
  frame: () => Buffer.from("vectors"),
  placed: { files, frame: () => Buffer.from("places") },
};

test("a worker that came over TCP gets vectors and no files, one of this machine places in files", () => {
  const sent = new Map<string, Unversioned<DownMessage>>();
  const supply = new Supply(() => ({ send: (worker, message) => void sent.set(worker, message), kill: () => {} }));
  supply.add("guest");
  for (const worker of ["guest", "worker-0"]) supply.configure(worker, task, () => true);
  expect(sent.get("guest")).toMatchObject({ type: "configure", task: { ...task, files: [] } });
  expect(sent.get("worker-0")).toMatchObject({ type: "configure", task });
  expect(supply.frame("guest", units, 0).toString()).toBe("vectors");
  expect(supply.frame("worker-0", units, 0).toString()).toBe("places");
  const { placed: _, ...texts } = units;
  expect(supply.frame("worker-0", texts, 0).toString()).toBe("vectors");
});
