/** A plugin that is edited while a run folder depends on it: training does not go on with other code without a word. */
import { writeFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, source } from "../../src/experiment/define.js";
import { train } from "../../src/pipeline/run.js";
import { EventStream, type QuarryEvent } from "../../src/report/events.js";
import { openWorkplace, ROOT, type Workplace } from "../e2e/harness.js";
import { ranks } from "./training-harness.js";

let place: Workplace;
let code: string;
const plugin = (): string => join(place.folder, "graded.py");

beforeAll(async () => {
  place = await openWorkplace({ passages: 64, queries: 16 });
  code = await readFile(join(ROOT, "examples/plugins/graded_contrastive.py"), "utf8");
  await writeFile(plugin(), code);
});
afterAll(() => place.remove());

async function trained(listener: (event: QuarryEvent) => void = () => {}): Promise<number[]> {
  const events = new EventStream();
  const steps: number[] = [];
  events.subscribe((event) => {
    if (event.type === "trainStep") steps.push(event.step);
    listener(event);
  });
  const experiment = defineExperiment(
    {
      name: "edited",
      model: biEncoder("./model", { dtype: "float32", plugins: ["graded.py"] }),
      train: {
        data: binary({ positives: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }) }),
        loss: { name: "graded_contrastive" } as never,
        ...{ globalBatchSize: 4, ranks: 1, threads: 1 },
        args: { maxSteps: 6, saveSteps: 2 },
      },
      workers: { device: "cpu" },
      cacheDir: "./cache",
      runDir: join(place.folder, "run"),
    },
    { baseDir: place.folder },
  );
  await train(experiment, { events });
  return steps;
}

const refused = {
  code: "CONFIG",
  message: "the plugin graded.py is not what this run's checkpoints were trained with",
  hint: "Put the file back as it was to go on, or choose another folder with --runDir.",
};

test("neither ranks that start again nor a resume go on with an edited plugin; with the old one a resume does", async () => {
  const edited = code.replace("return -(", "return -2 * (");
  expect(edited).not.toBe(code);
  let isKilled = false;
  const killed = trained((event) => {
    if (isKilled || event.type !== "checkpoint") return;
    isKilled = true;
    // At once: the next checkpoint is not sealed without this process.
    writeFileSync(plugin(), edited);
    process.kill(ranks()[0] as number, "SIGKILL");
  });
  await expect(killed).rejects.toMatchObject({
    ...refused,
    message: "the plugin graded.py is not what this run began with",
  });
  const seen: QuarryEvent[] = [];
  await expect(trained((event) => seen.push(event))).rejects.toMatchObject(refused);
  expect(seen.some(({ type }) => type === "worker")).toBe(false);
  await writeFile(plugin(), code);
  const steps = await trained();
  expect(steps[0]).toBeGreaterThan(2);
  expect(steps.at(-1)).toBe(6);
  // What was trained is not passed off as made by other code.
  await writeFile(plugin(), edited);
  await expect(trained()).rejects.toMatchObject(refused);
});
