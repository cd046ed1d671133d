/** A model or plugin whose files change in place: old results are not shown as its own. */
import { readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeTinyModel } from "../fixtures/tiny-model.js";
import { openWorkplace, type Workplace } from "./harness.js";

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: 60, queries: 12 });
  await place.crossEncoder();
});
afterAll(() => place.remove());

/** Other weights in the same folder. */
const change = (folder: string, ...args: readonly string[]): Promise<string> =>
  writeTinyModel(join(place.folder, folder), "--seed", "7", ...args);

const data = (name: string): string => `source({ corpus: "collection", qrels: "collection/qrels/${name}.tsv" })`;

test("what it did is done again with a warning, and nothing else; files that were only touched change nothing", async () => {
  await place.experiment(`
    name: "changed",
    model: biEncoder("./model"),
    evaluate: { data: ${data("test")}, measures: ["nDCG@10"] },
    rerank: crossEncoder("./cross-encoder", { topK: 5 }),
    workers: { count: 1, threads: 1 },
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
});

test("a training that began with it is not gone on with", async () => {
  await place.experiment(
    `
    name: "begun",
    model: biEncoder("./cls"),
    train: { data: binary({ positives: ${data("train")} }), globalBatchSize: 4, ranks: 1, threads: 1, args: { maxSteps: 1 } },
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
});

test("a plugin that was edited makes a step be done again, and an unused model does not", async () => {
  await writeFile(join(place.folder, "own.py"), plugin("text"));
  await writeFile(join(place.folder, "first.run"), "q1 Q0 p1 1 2.5 t\nq1 Q0 p2 2 1.5 t\n");
  await place.experiment(
    `
    name: "edited",
    model: biEncoder("./model", { encoder: "own", plugins: ["own.py"] }),
    evaluate: { data: ${data("test")}, measures: ["nDCG@10"] },
    mine: { data: ${data("test")}, includeModel: false, retrievers: [{ run: "first.run" }] },
    workers: { count: 1, threads: 1 },
    `,
    "edited",
  );
  const run = async () => {
    const { exitCode, stdout, stderr } = await place.quarry("run", "edited.ts");
    expect(exitCode, stderr).toBe(0);
    return [...stdout.matchAll(/(\S+ was done with .*); it is done again/g)].map(([, message]) => message);
  };
  expect(await run()).toEqual([]);
  await writeFile(join(place.folder, "own.py"), plugin("text[::-1]"));
  expect(await run()).toEqual(["evaluate-base was done with other code in own.py"]);
  await change("model", "--seed", "8");
  expect(await run()).toEqual(["evaluate-base was done with another model in ./model"]);
});

test("a question is answered by the model that is named now", async () => {
  await place.experiment(
    `
    name: "asked",
    model: biEncoder("./model"),
    search: { data: source({ corpus: "collection" }), topK: 3 },
    workers: { count: 1, threads: 1 },
    `,
    "asked",
  );
  const ask = async (...args: string[]) => {
    const { exitCode, stdout, stderr } = await place.quarry("search", "asked.ts", "--text", "some words", ...args);
    expect(exitCode, stderr).toBe(0);
    return stdout.match(/score +passage[^]*?\n\n/)?.[0];
  };
  const first = await ask();
  expect(first).toMatch(/0\.\d+ +p\d+/);
  expect(await ask("--model.pooling", "cls")).not.toBe(first);
  expect(await ask()).toBe(first);
});

function plugin(text: string): string {
  return [
    "from quarry_runtime.modeling.encoder import Encoder",
    "from quarry_runtime.modeling.registry import register_encoder",
    "@register_encoder('own')",
    "class Own(Encoder):",
    "    def format_query(self, text, extras):",
    `        return ${text}`,
    "",
  ].join("\n");
}
