/** Which devices and threads workers get beside the ranks of a training. */
import { describe, expect, it } from "vitest";
import { planSide, type Surroundings } from "../../../src/pipeline/side-pool.js";

const auto = { count: "auto", device: "auto" } as const;
const cpuOnly: Surroundings = { visible: [], ranks: 2, cores: 8, freeCores: 6 };
const fourGpus: Surroundings = { visible: ["0", "1", "2", "3"], ranks: 2, cores: 32, freeCores: 0 };

describe("planSide", () => {
  it("takes the cores that the ranks leave where there is no GPU", () => {
    expect(planSide(auto, cpuOnly, "train.evaluate.workers")).toEqual({
      ...{ count: 1, device: "cpu", threads: 6, gpus: null },
    });
  });

  it("takes one thread where the ranks leave no core", () => {
    const { threads } = planSide({ ...auto, count: 2 }, { ...cpuOnly, freeCores: 0 }, "train.evaluate.workers");
    expect(threads).toBe(1);
  });

  it("puts one worker on each GPU that no rank holds, the last ones", () => {
    expect(planSide(auto, fourGpus, "train.evaluate.workers")).toEqual({
      count: 2,
      device: "auto",
      threads: 8,
      gpus: ["2", "3"],
    });
  });

  it("keeps to the GPUs that the user made visible", () => {
    const { gpus } = planSide(auto, { ...fourGpus, visible: ["5", "7", "GPU-a"] }, "train.evaluate.workers");
    expect(gpus).toEqual(["GPU-a"]);
  });

  it("takes a device that is named, also a rank's", () => {
    const shared = planSide({ count: "auto", device: "cuda:0" }, { ...fourGpus, ranks: 4 }, "train.evaluate.workers");
    expect(shared).toEqual({ count: 1, device: "cuda:0", threads: 8, gpus: null });
  });

  it("mines on the CPU when the ranks hold every GPU", () => {
    const mining = planSide(auto, { ...fourGpus, ranks: 4, freeCores: 3 }, "train.refresh.workers");
    expect(mining).toEqual({ count: 1, device: "cpu", threads: 3, gpus: null });
  });

  it("has no hint that ranks cannot follow where there is one GPU", () => {
    const alone = { ...fourGpus, visible: ["0"], ranks: 1 };
    expect(() => planSide(auto, alone, "train.evaluate.workers")).toThrow(
      expect.objectContaining({
        hint: "Set train.evaluate.workers.device to cpu, or to cuda:N to share a rank's GPU.",
      }),
    );
  });

  it("refuses when the ranks hold every GPU, and says which options would help", () => {
    expect(() => planSide(auto, { ...fourGpus, ranks: 4 }, "train.evaluate.workers")).toThrow(
      expect.objectContaining({
        code: "CONFIG",
        message: "train.evaluate.workers: the 4 ranks hold all 4 GPUs of this machine.",
        hint: "Set train.ranks to 3 or less, or train.evaluate.workers.device to cpu, or to cuda:N to share a rank's GPU.",
      }),
    );
  });
});
