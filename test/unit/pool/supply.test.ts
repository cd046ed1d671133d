/** Who may not see this disk is sent the model's files and vectors; the others are told where in its files they lie. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Supply } from "../../../src/pool/supply.js";
import type { DownMessage, Task, Unversioned } from "../../../src/protocol/messages.js";
import { fakeModel, until } from "../../fixtures/fake-pool.js";

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

/** Two checkpoints, and what a worker that came over TCP is sent when it is configured for a task. */
function remote() {
  const folder = mkdtempSync(join(tmpdir(), "quarry-test-supply-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const [base, other] = ["base", "other"].map((name) => join(folder, name)) as [string, string];
  for (const checkpoint of [base, other]) {
    mkdirSync(checkpoint);
    writeFileSync(join(checkpoint, "config.json"), "{}");
  }
  const sent: string[] = [];
  const supply = new Supply(() => ({
    send: (_, message) => void sent.push(message.type === "files" ? `files of ${message.checkpoint}` : message.type),
    kill: (_, reason) => void sent.push(reason),
  }));
  supply.add("guest");
  const encoding = (checkpoint: string, queryCheckpoint: string | null): Task => ({
    ...{ kind: "encode", side: "query", batchSize: 8, vectorDtype: "float32" },
    model: { ...fakeModel, checkpoint, queryCheckpoint },
  });
  return { base, other, sent, supply, encoding };
}

test("a worker that came over TCP is given the files of both encoders before its task", async () => {
  const { base, other, sent, supply, encoding } = remote();
  supply.configure("guest", encoding(base, other), () => true);
  await until(() => sent.includes("configure"));
  expect(sent).toEqual([`files of ${base}`, `files of ${other}`, "configure"]);
});

test("one that goes on with a training is given the checkpoint, which has both encoders, and not the model", async () => {
  const { base, other, sent, supply } = remote();
  const training: Extract<Task, { kind: "train" }> = {
    ...{ kind: "train", model: { ...fakeModel, checkpoint: base }, resumeFrom: other, outputDir: base, args: {} },
    ...{
      losses: [{ name: "infonce", options: {}, weight: 1, sources: [], matryoshka: null }],
      sources: ["data"],
      retriever: null,
    },
    ...{ maxSteps: 9, queriesPerRank: 1, passagesPerQuery: 1, accumulationSteps: 1, miniBatchSize: null, seed: 1 },
    ...{ lengthGroups: null, isDropoutOn: true, checkpointEvery: null, evalSteps: null, isEvaluating: false },
  };
  supply.configure("guest", training, () => true);
  await until(() => sent.includes("configure"));
  expect(sent).toEqual([`files of ${other}`, "configure"]);
});

test("one that was given another task while files were hashed hears nothing of the earlier one", async () => {
  const { base, other, sent, supply, encoding } = remote();
  let task = "earlier";
  supply.configure("guest", encoding(base, null), () => task === "earlier");
  task = "later";
  supply.configure("guest", encoding(other, null), () => task === "later");
  await until(() => sent.includes("configure"));
  expect(sent).toEqual([`files of ${other}`, "configure"]);
});
