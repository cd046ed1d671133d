/** Machines that train along: what must fit together before anything starts. */
import { expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, source } from "../../../src/experiment/define.js";
import type { TrainInput, WorkersInput } from "../../../src/experiment/options.generated.js";
import { worldSizes } from "../../../src/training/meeting.js";

const define = (train: Partial<TrainInput>, workers: WorkersInput = { listen: "tcp://10.0.0.5:0" }) =>
  defineExperiment({
    ...{ name: "x", model: biEncoder("m"), workers },
    train: {
      data: binary({ positives: source({ corpus: "c.jsonl", qrels: "q.tsv" }) }),
      globalBatchSize: 24,
      ...train,
    },
  });
const nodes: NonNullable<TrainInput["nodes"]> = [
  { kind: "ssh", host: "gpu2" },
  { kind: "slurm", nodes: 4 },
];

test("machines need an address at which they reach this one; every network is none", () => {
  expect(() => define({ nodes })).not.toThrow();
  for (const address of ["tcp://0.0.0.0:4555", "tcp://*:4555", "tcp://[::0]:4555", undefined]) {
    const workers = address === undefined ? {} : { listen: address };
    expect(() => define({ nodes }, workers)).toThrow("train.nodes: have to reach this machine; set workers.listen");
  }
});

test("the batch is shared by the ranks of all machines", () => {
  expect(() => define({ nodes, ranks: 3 })).toThrow("24 cannot be shared equally among 18 ranks; 18 or 36 can");
});

test("fewer machines are allowed where the pool of negatives stays", () => {
  expect(() => define({ nodes, minNodes: 7 })).toThrow("train.minNodes: is 7, but there are 6 machines");
  expect(() => define({ nodes, minNodes: 5, queriesPerRank: 2 })).toThrow(
    "train.queriesPerRank: would change the pool",
  );
  const others = { others: [], listen: "tcp://10.0.0.5:0", runDir: "r" };
  expect(worldSizes({ ranks: 12, nodes: { ...others, count: 6, least: 4 } })).toEqual([8, 10, 12]);
  expect(worldSizes({ ranks: 2 })).toEqual([2]);
});

test("ranks of other machines do not evaluate", () => {
  const evaluate = { data: source({ corpus: "c.jsonl", qrels: "dev.tsv" }), mode: "ranks" as const };
  expect(() => define({ nodes, evaluate })).toThrow(
    expect.objectContaining({
      message: "train.evaluate.mode: is for ranks of this machine; evaluate by workers, or leave train.nodes out",
    }),
  );
});

test("a torchrun of workers is no machine that trains", () => {
  // @ts-expect-error: kind torchrun is for workers
  expect(() => define({ nodes: [{ kind: "torchrun" }] })).toThrow("train.nodes");
});
