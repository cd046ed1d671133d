/** The plugins in examples/plugins do what their first lines say, here with a tiny model; extras reach them. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, ROOT, type Workplace } from "./harness.js";

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: 120, queries: 24 });
  process.env.SCIFACT = place.collection;
});
afterAll(async () => {
  delete process.env.SCIFACT;
  delete process.env.INSTRUCTED;
  await place.remove();
});

const folder = join(ROOT, "examples/plugins");
/** One thread, here and for workers, lets all be forked from one process. */
const TINY = ["--train.args.maxSteps", "2", "--train.globalBatchSize", "4", "--train.threads", "1"];
const run = (verb: string, name: string, ...options: readonly string[]) => {
  const common = [
    "--model.checkpoint",
    place.model,
    "--workers.threads",
    "1",
    "--cacheDir",
    join(place.folder, "cache"),
  ];
  return place.quarry(verb, join(folder, name), ...common, ...options);
};

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
});

test("custom-loss.ts trains with the loss of its plugin", async () => {
  const result = await run("run", "custom-loss.ts", ...TINY);
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout).toMatch(/nDCG@10 +0\.\d{4} +0\.\d{4}/);
});

test("instructions.ts encodes queries with one instruction for all, or with each record's own", async () => {
  const ranked = async (name: string): Promise<string> => {
    const result = await run("evaluate", "instructions.ts", "--name", name);
    expect(result.exitCode, result.stderr).toBe(0);
    return readFile(join(place.folder, "runs", name, "evaluate-base/run.trec"), "utf8");
  };
  const shared = await ranked("shared");
  const queries = (await readFile(join(place.collection, "queries.jsonl"), "utf8")).trim().split("\n");
  process.env.INSTRUCTED = join(place.folder, "instructed.jsonl");
  const write = (instruction: (row: number) => object): Promise<void> => {
    const lines = queries.map((line, row) => JSON.stringify({ ...JSON.parse(line), ...instruction(row) }));
    return writeFile(process.env.INSTRUCTED as string, `${lines.join("\n")}\n`);
  };
  // q1 is the first query that is judged here: it alone keeps the instruction of all others.
  await write((row) => (row === 1 ? {} : { instruction: `river ${"stone ".repeat(row % 3)}` }));
  const own = await ranked("own");
  const passagesOf = (text: string, query: string): (string | undefined)[] =>
    text.split("\n").flatMap((line) => (line.startsWith(`${query} `) ? [line.split(" ")[2]] : []));
  expect(passagesOf(own, "q3")).not.toEqual(passagesOf(shared, "q3"));
  expect(passagesOf(own, "q1")).toHaveLength(100);
  expect(passagesOf(own, "q1")).toEqual(passagesOf(shared, "q1"));
});

test("whole-retriever.ts trains with the retriever of its plugin", async () => {
  const result = await run("train", "whole-retriever.ts", ...TINY);
  expect(result.exitCode, result.stderr).toBe(0);
  const steps = await readFile(join(place.folder, "runs/whole-retriever/train/steps.jsonl"), "utf8");
  expect(steps.trim().split("\n")).toHaveLength(2);
});

test("an unknown loss is answered with what is registered and from where, an error inside with its line", async () => {
  const unknown = await run("train", "custom-loss.ts", ...TINY, "--name", "unknown", "--train.loss.name", "graded");
  expect(unknown.exitCode).toBe(2);
  expect(unknown.stderr).toContain("No loss is called 'graded'.");
  expect(unknown.stderr).toContain("infonce (built-in)");
  expect(unknown.stderr).toContain(`graded_contrastive (${join(folder, "graded_contrastive.py")})`);
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
});

test("a text that a plugin fails on is named with its line, the plugin with its own", async () => {
  const plugin = join(place.folder, "strict.py");
  const code = [
    "from quarry_runtime.modeling.encoder import Encoder",
    "from quarry_runtime.modeling.registry import register_encoder",
    "@register_encoder('instructed')",
    "class Strict(Encoder):",
    "    def format_query(self, text, extras):",
    "        if 'winter' in extras.get('instruction', ''): raise ValueError('too cold')",
    "        return text",
  ];
  await writeFile(plugin, `${code.join("\n")}\n`);
  // The path of the test before: another environment would have its workers forked from another process.
  const queries = join(place.folder, "instructed.jsonl");
  const lines = (await readFile(join(place.collection, "queries.jsonl"), "utf8")).trim().split("\n");
  const cold = lines.map((line, row) =>
    JSON.stringify({ ...JSON.parse(line), instruction: row === 5 ? "winter" : "x" }),
  );
  await writeFile(queries, `${cold.join("\n")}\n`);
  process.env.INSTRUCTED = queries;
  const options = ["--name", "strict", "--model.plugins", plugin, "--model.encoderOptions", "{}"];
  const { exitCode, stderr } = await run("evaluate", "instructions.ts", ...options);
  expect(exitCode, stderr).toBe(2);
  expect(stderr).toContain(`q5 (${queries}:6): Plugin ${plugin}:6: ValueError: too cold`);
  expect(stderr).toContain("hint: Mend the plugin");
});
