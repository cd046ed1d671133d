/** The doctor counts one thing in the singular. */
import { expect, test } from "vitest";
import { checkEncoding, checkMemory, checkTime } from "../../../src/pipeline/doctor/cost.js";
import { checkFaults } from "../../../src/pipeline/doctor/data.js";
import { checkDevices } from "../../../src/pipeline/doctor/machine.js";

const memory = { availableBytes: 1e9, totalBytes: 2e9 };
const training = {
  ...{ ranks: 1, machines: 1, accumulationSteps: 1, maxSteps: 1, isCheckpointing: false, isBf16: false },
};
const probe = {
  ...{ steps: 1, stepSeconds: 2, waitShare: 0, tokensPerSecond: 1_000 },
  ...{ peakBytes: 1e6, device: "cpu", trained: 1_000, queriesPerRank: 1, microSteps: 1 },
};

test("of sources, passages and queries", () => {
  const source = { options: ["encode.data"], name: null, passages: 1, queries: 1, judgements: 0 };
  const report = { isSound: true, faults: [], problems: [], notes: [] };
  const seen = (...sources: (typeof source)[]) => checkFaults({ ...report, sources })[0]?.seen;
  expect(seen(source)).toBe("none in 1 source: 1 passage, 1 query");
  expect(seen({ ...source, passages: 1_200 }, source)).toBe(
    "none in 2 sources: 1,200 passages, 1 query; 1 passage, 1 query",
  );
});

test("of devices, steps, workers and queries", () => {
  const gpu = { id: "0", name: "H200", totalBytes: null } as Parameters<typeof checkDevices>[0][number];
  expect(checkDevices([gpu], "auto", 2, memory as Parameters<typeof checkDevices>[3]).seen).toBe("2 ranks, but 1 GPU");
  expect(checkTime(probe, training).seen).toMatch(/^1 step of 2\.0 s is 2\.0 s \(.*, 1 step tried on cpu\)$/);
  expect(checkEncoding("encode.data", 1, 10, 1, 1).seen).toBe("1 passage at 10 texts/s on one worker: 0.1 s");
  expect(checkEncoding("encode.data", 20, 10, 2, 1).seen).toContain("20 passages at 10 texts/s on each of 2 workers: ");
  const { seen } = checkMemory(probe, null, 1, training, { isGpu: false, availableBytes: 1e9 });
  expect(seen).toContain("a rank with 1 query in a forward pass");
});
