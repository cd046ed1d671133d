/** What the doctor reckons from a probe: memory, hours and disk, and what would fit where something does not. */
import { describe, expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, source } from "../../../src/experiment/define.js";
import type { ExperimentInput } from "../../../src/experiment/options.generated.js";
import type { TrainConfig } from "../../../src/experiment/schema.js";
import {
  checkMemory,
  checkTime,
  type MemoryRoom,
  type Probe,
  type Training,
} from "../../../src/pipeline/doctor/cost.js";
import { checkDisks, checkpointBytes, checkpointsNeed } from "../../../src/pipeline/doctor/disk.js";
import { checkDevices, checkNetwork, checkPackages } from "../../../src/pipeline/doctor/machine.js";
import { smallerSizes } from "../../../src/pipeline/doctor/price.js";

type TrainInput = NonNullable<ExperimentInput["train"]>;

const GB = 1e9;
const probe: Probe = {
  ...{ steps: 10, stepSeconds: 2, waitShare: 0, tokensPerSecond: 1_000 },
  ...{ peakBytes: 6 * GB, device: "cpu", trained: 1_000, queriesPerRank: 16, microSteps: 2 },
};
const training: Training = {
  ...{ ranks: 1, machines: 1, accumulationSteps: 4, maxSteps: 900, isCheckpointing: false, isBf16: false },
};
const cpu = (availableBytes: number): MemoryRoom => ({ isGpu: false, availableBytes });

describe("memory", () => {
  test.each([
    [10 * GB, "ok"],
    [6.2 * GB, "note"],
    [5 * GB, "refuse"],
  ])("of %d bytes is judged %s for a rank of 6 GB", (available, status) => {
    expect(checkMemory(probe, null, 16, training, cpu(available))).toMatchObject({ check: "memory", status });
  });

  test("ranks on a CPU share it; ranks on GPUs have one each", () => {
    const four = { ...training, ranks: 4 };
    expect(checkMemory(probe, null, 16, four, cpu(20 * GB))).toMatchObject({
      status: "refuse",
      seen: expect.stringContaining("24 GB for 4 ranks") as string,
    });
    expect(checkMemory(probe, null, 16, { ...four, machines: 2 }, cpu(20 * GB)).status).toBe("ok");
    expect(checkMemory(probe, null, 16, four, { isGpu: true, availableBytes: 20 * GB }).status).toBe("ok");
    expect(checkMemory(probe, null, 16, four, { isGpu: true, availableBytes: null })).toMatchObject({
      ...{ status: "note", todo: expect.stringContaining("--memory") as string },
    });
  });

  test("what does not fit is answered with the size that was tried and fits, and with what else helps", () => {
    const smaller = { ...probe, queriesPerRank: 4, peakBytes: 2 * GB };
    const { status, todo } = checkMemory(null, smaller, 16, training, cpu(5 * GB));
    expect(status).toBe("refuse");
    expect(todo).toContain("train.queriesPerRank 4 fits (2 GB a rank)");
    expect(todo).toContain("gradientCheckpointing");
    expect(checkMemory(null, smaller, 16, { ...training, isCheckpointing: true }, cpu(5 * GB)).todo).not.toContain(
      "gradientCheckpointing",
    );
    expect(checkMemory(null, null, 1, training, cpu(GB)).todo).toContain("Not even one query fits");
  });

  test("what fits with little to spare is answered with what makes room, not with what does not fit", () => {
    const tight = (queries: number) => checkMemory(probe, null, queries, training, cpu(6.2 * GB)).todo;
    expect(tight(16)).toMatch(/^To leave more room: a lower train\.queriesPerRank, train\.args\.gradientCheckpointing/);
    expect(tight(1)).toMatch(/^To leave more room: train\.args\.gradientCheckpointing/);
  });

  test("sizes that are tried halve, and always cut a rank's share evenly", () => {
    expect(smallerSizes(32, 32)).toEqual([16, 8, 4, 2, 1]);
    expect(smallerSizes(24, 12)).toEqual([6, 3, 1]);
    expect(smallerSizes(7, 7)).toEqual([1]);
    expect(smallerSizes(8, 1)).toEqual([]);
  });
});

test("hours come from the micro-steps of a whole step; waiting for the feed is told", () => {
  // Two of four micro-steps took 2 s: 900 steps of 4 s.
  expect(checkTime(probe, training)).toMatchObject({
    status: "ok",
    seen: expect.stringMatching(/^900 steps of 4\.0 s are 1 h 00 min/) as string,
    facts: { totalSeconds: 3_600 },
  });
  expect(checkTime({ ...probe, waitShare: 0.4 }, training)).toMatchObject({ status: "note" });
});

describe("disk", () => {
  const data = source({ corpus: "c.jsonl", qrels: "q.tsv" });
  const size = { parameters: 100 * 1e6, trained: 100 * 1e6 };
  const each = checkpointBytes(size.parameters, size.trained);
  /** Checkpoints of a training of 100 steps, and what makes them less. */
  const need = (more: Omit<TrainInput, "data">) => {
    const view = binary({ positives: data, negativesPerQuery: more.refresh === undefined ? 0 : 1 });
    const { config } = defineExperiment({ name: "x", model: biEncoder("m"), train: { data: view, ...more } });
    const found = checkpointsNeed(config.train as TrainConfig, { ...size, maxSteps: 100 }, "runs/x");
    return { checkpoints: found.bytes / each, less: found.less };
  };

  test("takes the checkpoints that are kept, one more while it is written, and no more than are ever saved", () => {
    expect(each).toBe(100 * 1e6 * 12 + 5e6);
    expect(need({ args: { saveSteps: 10, saveTotalLimit: 2 } })).toEqual({
      ...{ checkpoints: 3, less: "lower train.args.saveTotalLimit" },
    });
    expect(need({ args: { saveSteps: 100 } }).checkpoints).toBe(1);
    // One at step 60, one at the end.
    expect(need({ args: { saveSteps: 60, saveTotalLimit: 5 } }).checkpoints).toBe(2);
    // An adapter's optimiser is small.
    expect(checkpointBytes(100 * 1e6, 1e6)).toBeLessThan(450 * 1e6);
  });

  test("counts the checkpoints that evaluation writes, keeps, and has waiting", () => {
    const args = { saveSteps: 100, saveTotalLimit: 1 };
    const inRanks = { data, mode: "ranks", evalSteps: 10, saveBestLimit: 3 } as const;
    expect(need({ args, evaluate: inRanks })).toEqual({ checkpoints: 5, less: "lower train.evaluate.saveBestLimit" });
    expect(need({ args, evaluate: { ...inRanks, mode: "workers", maxWaiting: 2 } })).toEqual({
      ...{ checkpoints: 8, less: "lower train.evaluate.saveBestLimit or train.evaluate.maxWaiting" },
    });
    // Training may have ended with any that waits: the last three up to it stay.
    const patient = { data, evalSteps: 10, maxWaiting: 2, earlyStoppingPatience: 2 } as const;
    expect(need({ args: { saveSteps: 5, saveTotalLimit: 3 }, evaluate: patient }).checkpoints).toBe(12);
    expect(need({ args: { saveSteps: 10, saveTotalLimit: 3 }, evaluate: patient }).checkpoints).toBe(10);
    expect(need({ args, evaluate: { ...inRanks, evalSteps: 40 } }).checkpoints).toBe(3);
  });

  test("counts the checkpoints that negatives are mined with, and the weights that stay for it", () => {
    const mine = { topK: 20, negativesPerQuery: 1 };
    const args = { maxSteps: 100, saveSteps: 100, saveTotalLimit: 5 };
    const { checkpoints } = need({ args, refresh: { everySteps: 40, mine } });
    expect(checkpoints).toBeCloseTo(3 + (2 * checkpointBytes(size.parameters, 0)) / each, 9);
  });

  test.each([
    [100 * GB, "ok"],
    [11 * GB, "note"],
    [9 * GB, "refuse"],
  ])("with %d bytes free for 10 GB is judged %s", (freeBytes, status) => {
    const needs = [
      { what: "2 checkpoints", bytes: 10 * GB, folder: "runs/x", less: "lower train.args.saveTotalLimit" },
    ];
    const [found] = checkDisks([{ freeBytes, needs }]);
    expect(found).toMatchObject({ check: "disk", status });
    if (status !== "ok") expect(found?.todo).toContain("saveTotalLimit");
  });
});

describe("the machine", () => {
  const memory = { totalBytes: 64 * GB, availableBytes: 60 * GB };
  const gpu = { id: "0", name: "GPU X", totalBytes: 24 * GB, freeBytes: 23 * GB };

  test("GPUs that are left out or lacking are told", () => {
    expect(checkDevices([], "auto", 1, memory).status).toBe("ok");
    expect(checkDevices([gpu, gpu], "auto", 2, memory).status).toBe("ok");
    expect(checkDevices([gpu, gpu], "auto", 1, memory).status).toBe("note");
    expect(checkDevices([gpu], "auto", 2, memory).status).toBe("refuse");
    expect(checkDevices([gpu], "cpu", 1, memory).status).toBe("note");
    const part = { ...gpu, name: "GPU MIG-5c1d", totalBytes: null, freeBytes: null };
    expect(checkDevices([part], "auto", 1, memory).seen).toMatch(/^1 × GPU MIG-5c1d; /);
  });

  test("an environment without torch is refused; ports that anybody can reach are told from two ranks on", () => {
    const python = { executable: "/env/bin/python", env: {} };
    expect(checkPackages({ python: "3.11", torch: "2", transformers: "5" }, python).status).toBe("ok");
    expect(checkPackages({ python: "3.11", transformers: "5" }, python)).toMatchObject({
      status: "refuse",
      todo: "quarry setup",
    });
    expect(checkNetwork(1, 0)).toBeNull();
    expect(checkNetwork(2, 0)).toMatchObject({
      status: "note",
      seen: expect.stringContaining("all addresses") as string,
    });
    expect(checkNetwork(1, 1)).not.toBeNull();
  });
});
