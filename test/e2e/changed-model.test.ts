/** A model whose files change in place: old results are not shown as its own. */
import { readFile, utimes } from "node:fs/promises";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findPython } from "../../src/python/environment.js";
import { openWorkplace, ROOT, type Workplace } from "./harness.js";

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: 60, queries: 12 });
  await place.crossEncoder();
}, 120_000);
afterAll(() => place.remove());

/** Other weights in the same folder. */
async function change(folder: string, ...args: readonly string[]): Promise<void> {
  const python = await findPython();
  const script = join(ROOT, "test/fixtures/tiny_model.py");
  await execa(python.executable, [script, join(place.folder, folder), "--seed", "7", ...args], { env: python.env });
}

const data = (name: string): string => `source({ corpus: "collection", qrels: "collection/qrels/${name}.tsv" })`;

test("what it did is done again with a warning, and nothing else; files that were only touched change nothing", async () => {
  await place.experiment(`
    name: "changed",
    model: biEncoder("./model"),
    evaluate: { data: ${data("test")}, measures: ["nDCG@10"] },
    rerank: crossEncoder("./cross-encoder", { topK: 5 }),
    workers: { count: 1 },
  `);
  const run = async () => {
    const { exitCode, stdout, stderr } = await place.quarry("run", "experiment.ts");
    expect(exitCode, stderr).toBe(0);
    const metrics = JSON.parse(await readFile(join(place.folder, "runs/changed/metrics.json"), "utf8"));
    const again = [...stdout.matchAll(/(\S+) was done with another model in (\S+); it is done again/g)];
    return { stdout, metrics, again: again.map(([, step, model]) => `${step} ${model}`) };
  };
  const first = await run();
  await utimes(join(place.model, "model.safetensors"), new Date(), new Date());
  const touched = await run();
  expect(touched).toMatchObject({ again: [], metrics: first.metrics });
  expect(touched.stdout).not.toContain("search passages");

  await change("cross-encoder", "--arch", "cross");
  const reranked = await run();
  expect(reranked.again).toEqual(["rerank-base ./cross-encoder"]);
  expect(reranked.metrics["evaluate-base"]).toEqual(first.metrics["evaluate-base"]);

  await change("model");
  const evaluated = await run();
  expect(evaluated.again).toEqual(["evaluate-base ./model"]);
  expect(evaluated.metrics["evaluate-base"]).not.toEqual(first.metrics["evaluate-base"]);
}, 240_000);

test("a training that began with it is not gone on with", async () => {
  await place.experiment(
    `
    name: "begun",
    model: biEncoder("./cls"),
    train: { data: binary({ positives: ${data("train")} }), globalBatchSize: 4, ranks: 1, args: { maxSteps: 1 } },
    `,
    "begun",
  );
  await change("cls", "--seed", "1");
  expect((await place.quarry("train", "begun.ts")).exitCode).toBe(0);
  expect((await place.quarry("train", "begun.ts")).exitCode).toBe(0);
  await change("cls");
  const { exitCode, stderr } = await place.quarry("train", "begun.ts");
  expect(exitCode).toBe(2);
  expect(stderr).toContain("the model ./cls is not what this run's checkpoints were trained with");
}, 240_000);
