/** How the answers of workers are read: what does not fit the work is refused, and what is saved is saved in order. */
import { describe, expect, it } from "vitest";
import type { Contract } from "../../../src/pool/jobs/assignment.js";
import { type Assignment, encoding, scoring, searching } from "../../../src/pool/jobs/index.js";
import { Run } from "../../../src/pool/run.js";
import type { EncodeJob, SearchJob, Snapshot, UnitList } from "../../../src/pool/types.js";
import type { CrossEncoderSpec, TensorSpec, UpMessage } from "../../../src/protocol/messages.js";
import { bytesOf, tensor } from "../../../src/protocol/tensor.js";
import { PROTOCOL_VERSION } from "../../../src/protocol/version.js";
import { crossContract } from "../../fixtures/cross-contract.js";
import { fakeModel } from "../../fixtures/fake-pool.js";
import { textUnits } from "../../fixtures/text-units.js";
import { contract } from "../embeddings/stores.js";

const units: UnitList = textUnits(1, 2);
const refused = expect.objectContaining({ code: "PROTOCOL" }) as Error;
const floats = (...numbers: number[]): Uint8Array => bytesOf(Float32Array.from(numbers));
const v = PROTOCOL_VERSION;

function result(spec: TensorSpec, scales: TensorSpec | null, ...frames: Uint8Array[]) {
  const message: UpMessage = { v, type: "result", unit: "passages-0", attempt: 1, tensor: spec, scales, seconds: 1 };
  return { message, frames };
}

function reading(job: Assignment, what: Contract | null, ...answer: Parameters<typeof result>) {
  return () => job.read(result(...answer), 0, what);
}

describe("scores", () => {
  const model: CrossEncoderSpec = {
    ...{ checkpoint: "tiny-cross", revision: null, trustRemoteCode: false, dtype: "auto" },
    ...{
      maxLength: null,
      activation: null,
      label: null,
      template: null,
      prompt: null,
      trueToken: null,
      falseToken: null,
    },
  };
  const job = scoring({ phase: "rerank", model, units, onScores: async () => {} });
  const read = (...scores: number[]) =>
    reading(job, crossContract, tensor("float32", [scores.length], 1), null, floats(...scores));

  it("are one finite number for each pair", () => {
    expect(read(0.5, -2)).not.toThrow();
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) expect(read(1, bad)).toThrow(refused);
    expect(read(1)).toThrow(refused);
  });
});

describe("vectors", () => {
  const what: Contract = { ...contract, dimension: 2 };
  const job = (vectorDtype: NonNullable<EncodeJob["vectorDtype"]>) =>
    encoding({ phase: "encode", model: fakeModel, side: "passage", units, vectorDtype, onVectors: async () => {} });
  const four = floats(1, 2, 3, 4);

  it("are as many, as long and of the number format that was asked for", () => {
    const read = (spec: TensorSpec, frame: Uint8Array) => reading(job("float32"), what, spec, null, frame);
    expect(read(tensor("float32", [2, 2], 1), four)).not.toThrow();
    expect(read(tensor("float16", [2, 2], 1), new Uint8Array(8))).toThrow(refused);
    expect(read(tensor("float32", [1, 2], 1), floats(1, 2))).toThrow(refused);
    expect(read(tensor("float32", [2, 1], 1), floats(1, 2))).toThrow(refused);
  });

  it("have a scale each where they are int8, and none otherwise", () => {
    const [codes, scale] = [tensor("int8", [2, 2], 1), tensor("float32", [2], 2)];
    expect(reading(job("int8"), what, codes, scale, new Uint8Array(4), floats(1, 1))).not.toThrow();
    expect(reading(job("int8"), what, codes, null, new Uint8Array(4))).toThrow(refused);
    const one = tensor("float32", [1], 2);
    expect(reading(job("int8"), what, codes, one, new Uint8Array(4), floats(1))).toThrow(refused);
    expect(reading(job("float32"), what, tensor("float32", [2, 2], 1), scale, four, floats(1, 1))).toThrow(refused);
  });
});

describe("a search", () => {
  function search(options: Partial<SearchJob> = {}): Assignment {
    return searching({
      ...{ phase: "search", model: null, units, topK: 1, queryCount: 1, dimension: 2 },
      ...{ queries: new Float32Array(2), similarity: "dot", isNormalizing: false },
      onSnapshot: async () => {},
      ...options,
    });
  }

  function snapshot(scores: readonly number[], rows: readonly number[], tracked: readonly number[] | null = null) {
    const message: UpMessage = {
      ...{ v, type: "snapshot", units: [] },
      scores: tensor("float32", [1, scores.length], 1),
      rows: tensor("int32", [1, rows.length], 2),
      tracked: tracked === null ? null : tensor("float32", [tracked.length], 3),
    };
    return { message, frames: [floats(...scores), bytesOf(Int32Array.from(rows)), floats(...(tracked ?? []))] };
  }

  it("refuses a snapshot of another shape", () => {
    const read =
      (...answer: Parameters<typeof snapshot>) =>
      () =>
        search({ topK: 2 }).read(snapshot(...answer), -1, null);
    expect(read([2, 1], [0, 1])).not.toThrow();
    expect(read([2], [0, 1])).toThrow(refused);
    expect(read([2, 1], [0])).toThrow(refused);
  });

  it("refuses a snapshot without the scores of the tracked pairs, or with those of others", () => {
    const tracked = { queries: Int32Array.of(0), rows: Int32Array.of(0) };
    const read = (options: Partial<SearchJob>, found: readonly number[] | null) => () =>
      search(options).read(snapshot([1], [0], found), -1, null);
    expect(read({ tracked }, [5])).not.toThrow();
    expect(read({ tracked }, null)).toThrow(refused);
    expect(read({ tracked }, [5, 6])).toThrow(refused);
    expect(read({}, [5])).toThrow(refused);
  });

  it("saves a session's snapshots in the order they came, however long one takes", async () => {
    const saved: (number | undefined)[] = [];
    let openFirst = (): void => {};
    const first = new Promise<void>((resolve) => void (openFirst = resolve));
    const onSnapshot = async ({ scores }: Snapshot): Promise<void> => {
      if (scores[0] === 1) await first;
      saved.push(scores[0]);
    };
    const job = search({ onSnapshot });
    const savings = [1, 2, 3].map((score) => job.read(snapshot([score], [0]), -1, null)?.save("w0.1", [0]));
    await job.read(snapshot([4], [0]), -1, null)?.save("w1.2", [1]);
    openFirst();
    for (const saving of savings) await saving;
    expect(saved).toEqual([4, 1, 2, 3]);
  });

  it("asks for a snapshot after a thousand units at the latest: no message names more", () => {
    expect(search({ queryCount: 1_000_000, topK: 1_000 }).task(16)).toMatchObject({ snapshotEveryUnits: 1_000 });
    expect(search({ queryCount: 0 }).task(16)).toMatchObject({ snapshotEveryUnits: 1 });
  });

  it("says how large a snapshot is, since a slow link needs time for it", () => {
    const tracked = { queries: Int32Array.of(0, 1), rows: Int32Array.of(3, 4) };
    expect(search({ queryCount: 3, topK: 100, tracked }).answerBytes).toBe(3 * 100 * 8 + 2 * 4);
  });

  it("is over once nothing of it is being written any more", async () => {
    let write = (): void => {};
    const written = new Promise<void>((resolve) => void (write = resolve));
    const run = new Run(search({ onSnapshot: () => written }), 16);
    let isOver = false;
    const saving = run.persist("w0.1", [0], run.read(snapshot([1], [0]), -1));
    const ending = run.end(2, null).then(() => void (isOver = true));
    await new Promise(setImmediate);
    expect(isOver).toBe(false);
    write();
    await Promise.all([saving, ending]);
    expect(await run.outcome).toMatchObject({ rowCount: 2 });
  });
});
