/** The plugins in examples/plugins do what their first lines say, here with a tiny model; extras reach them. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, ROOT, type Workplace } from "./harness.js";

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: 120, queries: 24 });
  process.env.SCIFACT = place.collection;
}, 60_000);
afterAll(async () => {
  delete process.env.SCIFACT;
  delete process.env.INSTRUCTED;
  await place.remove();
});

const folder = join(ROOT, "examples/plugins");
const TINY = ["--train.args.maxSteps", "2", "--train.globalBatchSize", "4"];
const run = (verb: string, name: string, ...options: readonly string[]) =>
  place.quarry(verb, join(folder, name), "--model.checkpoint", place.model, ...options);

test("no example is left out of these tests, and their types are those of the plugins", async () => {
  const files = await readdir(folder);
  const scripts = files.filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts")).sort();
  expect(scripts).toEqual(["custom-loss.ts", "instructions.ts", "whole-retriever.ts"]);
  const plugins = files.filter((name) => name.endsWith(".py")).sort();
  const out = join(place.folder, "quarry-plugins.d.ts");
  const paths = plugins.map((name) => join(folder, name));
  const { exitCode, stderr } = await place.quarry("types", "--plugin", ...paths, "--out", out);
  expect(exitCode, stderr).toBe(0);
  // Paths are told as seen from the written file.
  const plain = (text: string): string => text.replaceAll(/\([^()]*\/([^()/]+\.py)\)/g, "($1)");
  expect(plain(await readFile(out, "utf8"))).toBe(await readFile(join(folder, "quarry-plugins.d.ts"), "utf8"));
}, 60_000);

test("custom-loss.ts trains with the loss of its plugin", async () => {
  const result = await run("run", "custom-loss.ts", ...TINY);
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout).toMatch(/nDCG@10 +0\.\d{4} +0\.\d{4}/);
}, 240_000);

test("instructions.ts encodes queries with one instruction for all, or with each record's own", async () => {
  const ndcg = async (): Promise<string> => {
    const result = await run("evaluate", "instructions.ts");
    expect(result.exitCode, result.stderr).toBe(0);
    const runFile = await readFile(join(place.folder, "runs/instructions/evaluate-base/run.trec"), "utf8");
    return runFile;
  };
  const before = await ndcg();
  const queries = (await readFile(join(place.collection, "queries.jsonl"), "utf8")).trim().split("\n");
  const instructed = queries.map((line, row) => ({
    ...JSON.parse(line),
    instruction: `river ${"stone ".repeat(row % 3)}`,
  }));
  process.env.INSTRUCTED = join(place.folder, "instructed.jsonl");
  await writeFile(process.env.INSTRUCTED, `${instructed.map((each) => JSON.stringify(each)).join("\n")}\n`);
  expect(await ndcg()).not.toBe(before);
}, 240_000);

test("whole-retriever.ts trains with the retriever of its plugin", async () => {
  const result = await run("train", "whole-retriever.ts", ...TINY);
  expect(result.exitCode, result.stderr).toBe(0);
  const steps = await readFile(join(place.folder, "runs/whole-retriever/train/steps.jsonl"), "utf8");
  expect(steps.trim().split("\n")).toHaveLength(2);
}, 240_000);

test("an unknown loss is answered with what is registered and from where, an error inside with its line", async () => {
  const unknown = await run("train", "custom-loss.ts", ...TINY, "--name", "unknown", "--train.loss.name", "graded");
  expect(unknown.exitCode).toBe(2);
  expect(unknown.stderr).toContain("No loss is called 'graded'.");
  expect(unknown.stderr).toMatch(/infonce \(built-in\).*graded_contrastive \(.*graded_contrastive\.py\)/);
  const plugin = join(place.folder, "failing.py");
  const code = [
    "from quarry_runtime.modeling.registry import register_loss",
    "@register_loss('graded_contrastive')",
    "def failing(options):",
    "    def loss(batch):",
    "        return batch.labels['nothing']",
    "    return loss",
  ];
  await writeFile(plugin, `${code.join("\n")}\n`);
  const options = ["--name", "failing", "--model.plugins", plugin, "--train.loss", '{"name": "graded_contrastive"}'];
  const failing = await run("train", "custom-loss.ts", ...TINY, ...options);
  expect(failing.exitCode).toBe(2);
  expect(failing.stderr).toMatch(/failing\.py:5: IndexError/);
}, 240_000);
