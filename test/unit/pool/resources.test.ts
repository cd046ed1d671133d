/** How many workers, on which devices, with how many threads. */
import { describe, expect, it } from "vitest";
import { workersSchema } from "../../../src/experiment/schema.js";
import { defaultBatchSize, planPlaces } from "../../../src/pool/resources.js";

const places = (options: object, gpus: number, cores: number) =>
  planPlaces(workersSchema.parse(options), gpus, cores).map(({ device, threads }) => `${device}/${threads}`);

describe("places for workers", () => {
  it.each([
    [{}, 0, 8, ["cpu/8"]],
    [{}, 2, 8, ["cuda:0/4", "cuda:1/4"]],
    [{ count: 3 }, 0, 8, ["cpu/2", "cpu/2", "cpu/2"]],
    [{ count: 3 }, 2, 8, ["cuda:0/2", "cuda:1/2", "cuda:0/2"]],
    [{ count: 4 }, 0, 2, ["cpu/1", "cpu/1", "cpu/1", "cpu/1"]],
    [{ device: "cpu" }, 4, 8, ["cpu/8"]],
    [{ device: "cuda:1", count: 2, threads: 3 }, 4, 8, ["cuda:1/3", "cuda:1/3"]],
    [{ device: "cuda:1" }, 4, 8, ["cuda:1/8"]],
    [{ device: "cuda" }, 2, 8, ["cuda:0/4", "cuda:1/4"]],
  ])("%j with %i GPUs and %i cores", (options, gpus, cores, expected) => {
    expect(places(options, gpus, cores)).toEqual(expected);
  });
});

it.each([
  [{}, 0, 16],
  [{}, 2, 128],
  [{ device: "cpu" }, 2, 16],
  [{ device: "cuda:1" }, 0, 128],
  // Whoever joins has what it has.
  [{ count: 0 }, 2, 16],
])("%j with %i GPUs: %i texts in a forward pass", async (options, gpus, expected) => {
  expect(await defaultBatchSize(workersSchema.parse(options), async () => gpus)).toBe(expected);
});
