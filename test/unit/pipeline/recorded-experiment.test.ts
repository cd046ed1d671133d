/** A replay needs the script only for functions in the data that is trained on. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  biEncoder,
  binary,
  crossEncoder,
  defineExperiment,
  type Experiment,
  source,
} from "../../../src/experiment/define.js";
import { step } from "../../../src/experiment/function-step.js";
import type { ExperimentInput, SourceInput } from "../../../src/experiment/options.generated.js";
import { recordedExperiment } from "../../../src/pipeline/recorded-experiment.js";

const keep = step({ name: "keep", version: 1, fn: () => true });
const texts = { corpus: "c.jsonl", queries: "q.jsonl", qrels: "q.tsv" };
const filtered = source({ ...texts, filter: keep });

function experiment(data: SourceInput, more: Partial<ExperimentInput>, train: object = {}): Experiment {
  return defineExperiment({
    name: "recorded",
    model: biEncoder("some/model"),
    train: { data: binary({ positives: data, negativesPerQuery: 2 }), args: { maxSteps: 9 }, ...train },
    ...more,
  });
}

/** A run folder as it is read. */
const run = ({ config }: Experiment) => ({
  path: "/runs/recorded",
  experiment: JSON.parse(JSON.stringify(config)) as unknown,
  environment: { baseDir: "../.." },
  journal: [],
});

const mine = { filter: keep, negativesPerQuery: 4 };

test("functions of what a replay does not do again are no reason to ask for the script", async () => {
  const sections = { mine: { data: filtered, filter: keep }, encode: { data: filtered }, search: { data: filtered } };
  const recorded = experiment(
    source(texts),
    { ...sections, evaluate: { data: filtered }, rerank: crossEncoder("a/b"), steps: ["train", "evaluate"] },
    { evaluate: { data: filtered, evalSteps: 3 }, refresh: { everySteps: 3, mine } },
  );
  const { config, baseDir } = await recordedExperiment(run(recorded), undefined);
  expect(baseDir).toBe("/");
  expect(config.train?.data).toEqual(recorded.config.train?.data);
  expect(config.train?.refresh?.mine).toEqual({ ...recorded.config.train?.refresh?.mine, filter: undefined });
  expect(config).toMatchObject({ name: "recorded", seed: 42, train: { args: { maxSteps: 9 } } });
});

test("functions of the data that is trained on, or mined from, come from the script; the other options as recorded", async () => {
  const folder = await mkdtemp(join(tmpdir(), "quarry-recorded-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const script = join(folder, "experiment.mjs");
  await writeFile(
    script,
    `import { biEncoder, binary, crossEncoder, defineExperiment, source, step } from "quarry";
    const keep = step({ name: "keep", version: 1, fn: () => true });
    const data = source({ ...${JSON.stringify(texts)}, filter: keep });
    export default defineExperiment({
      name: "other", model: biEncoder("other/model"),
      train: {
        data: binary({ positives: data, negativesPerQuery: 2 }), args: { maxSteps: 4 },
        refresh: { everySteps: 1, mine: { data, filter: keep } },
      },
    });`,
  );
  const refresh = (data?: SourceInput) => ({ refresh: { everySteps: 3, mine: { ...mine, ...(data && { data }) } } });
  for (const recorded of [
    run(experiment(filtered, {}, refresh())),
    run(experiment(source(texts), {}, refresh(filtered))),
  ]) {
    await expect(recordedExperiment(recorded, undefined)).rejects.toMatchObject({
      ...{ code: "CONFIG", hint: expect.stringContaining("--experiment") as string },
    });
    const { config, baseDir } = await recordedExperiment(recorded, script);
    expect(baseDir).toBe(folder);
    expect(config.train?.data).toMatchObject({ positives: { filter: { fn: expect.any(Function) as () => boolean } } });
    expect(config.train?.refresh?.mine.data).toMatchObject({ filter: { fn: expect.any(Function) as () => boolean } });
    expect(config).toMatchObject({ name: "recorded", model: { checkpoint: "some/model" } });
    expect(config.train).toMatchObject({ args: { maxSteps: 9 }, refresh: { everySteps: 3 } });
  }
});
