/** `quarry doctor` on an experiment with cross-encoders: each is looked at before any passage is encoded for it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { DoctorReport } from "../../src/index.js";
import { writeCollection } from "../fixtures/collection.js";
import { commandLine } from "../fixtures/command-line.js";
import { writeTinyModel } from "../fixtures/tiny-model.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-doctor-"));
  await writeTinyModel(join(folder, "model"));
  await writeTinyModel(join(folder, "cross"), "--arch", "cross");
  await writeCollection(join(folder, "collection"), { passages: 96, queries: 24 });
  await writeFile(
    join(folder, "experiment.ts"),
    `import { biEncoder, crossEncoder, defineExperiment, source } from "quarry";
     const data = (split: string) => source({ corpus: "collection", qrels: \`collection/qrels/\${split}.tsv\` });
     export default defineExperiment({
       name: "patient", model: biEncoder("./model"),
       evaluate: { data: data("test") }, rerank: crossEncoder("./cross", { topK: 10 }),
       mine: { data: data("train"), topK: 20, rescore: { model: crossEncoder("./cross") } },
       workers: { device: "cpu", count: 1, threads: 1 }, cacheDir: "./cache",
     });`,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const doctor = (...argv: string[]) => examine("experiment.ts", ...argv);

async function examine(script: string, ...argv: string[]) {
  const argvOf = ["doctor", join(folder, script), "--json", ...argv];
  const { exitCode, stdout, stderr } = await commandLine(argvOf, { cwd: process.cwd() });
  if (stdout === "") throw new Error(stderr);
  const { checks } = JSON.parse(stdout) as DoctorReport;
  return { exitCode, checks, of: (name: string) => checks.find(({ check }) => check === name) };
}

test("sound ones have every check, and a price", async () => {
  const { exitCode, of } = await doctor("--probe", "1");
  expect(exitCode).toBe(0);
  for (const path of ["rerank", "mine.rescore.model"]) {
    const names = [`scores of ${path} and batch size`, `scores of ${path} and padding`, `scores of ${path}`];
    for (const name of [`model of ${path}`, `special tokens of ${path}`, ...names, `memory of ${path}`])
      expect(of(name), name).toMatchObject({ check: name, status: "ok" });
    expect(of(`order of ${path}`)?.facts).toMatchObject({ queries: 12 });
  }
  expect(of("length of rerank pairs of evaluate.data")?.facts).toMatchObject({ pairs: 24 });
  expect(of("time of rerank, evaluate.data")?.facts).toMatchObject({ pairs: 120 });
  expect(of("time of mine.rescore.model, mine.data")?.facts).toMatchObject({ pairs: 12 * 23 });
});

test("a cross-encoder in the place of the model is told; a model that nothing is encoded with is left alone", async () => {
  const swapped = await doctor("--probe", "0", "--model.checkpoint", join(folder, "cross"));
  expect(swapped.of("model")).toMatchObject({ status: "note", todo: expect.stringContaining("crossEncoder(…)") });
  const lines = Array.from({ length: 24 }, (_, at) => `q${at} Q0 p${at} 1 1 t\nq${at} Q0 p${at + 1} 2 0.5 t\n`);
  await writeFile(join(folder, "bm25.run"), lines.join(""));
  await writeFile(
    join(folder, "given.ts"),
    `import { biEncoder } from "quarry";
     import experiment from "./experiment.ts";
     const { mine, evaluate, ...rest } = experiment.input;
     export default { ...rest, model: biEncoder("nobody/has-this"), evaluate: { ...evaluate, run: "bm25.run" } };`,
  );
  const given = await examine("given.ts", "--probe", "0");
  expect(given.of("model")?.seen).toContain("nothing is encoded with it");
  expect({ exitCode: given.exitCode, scores: given.of("scores of rerank")?.status }).toEqual({
    ...{ exitCode: 0, scores: "ok" },
  });
});

test("one that cannot score, or does not fit, ends with 2", async () => {
  const other = await doctor("--probe", "0", "--rerank.checkpoint", join(folder, "model"));
  expect(other.exitCode).toBe(2);
  expect(other.of("model of rerank")).toMatchObject({ status: "refuse" });
  expect(other.of("model of rerank")?.seen).toContain("not a cross-encoder");
  expect(other.of("scores of mine.rescore.model")?.status).toBe("ok");
  const small = await doctor("--probe", "1", "--memory", "1MB", "--rerank.batchSize", "2");
  expect(small.exitCode).toBe(2);
  expect(small.of("memory of rerank")).toMatchObject({ status: "refuse" });
  expect(small.of("memory of rerank")?.todo).toContain("Not even one pair fits");
});
