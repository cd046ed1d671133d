/** Files that an experiment names are looked for before anything starts. */
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, demoModel, demoSource, source } from "../../../src/experiment/define.js";
import { checkPaths, resolveCheckpoint } from "../../../src/experiment/paths.js";

let baseDir = "";
beforeAll(async () => {
  baseDir = await mkdtemp(join(tmpdir(), "quarry-paths-"));
  await mkdir(join(baseDir, "full"));
  await mkdir(join(baseDir, "empty"));
  await writeFile(join(baseDir, "full", "corpus.jsonl"), "");
  await writeFile(join(baseDir, "q.tsv"), "");
  await mkdir(join(baseDir, "packed"));
  await writeFile(join(baseDir, "packed", "corpus.jsonl.gz"), "");
  await writeFile(join(baseDir, "losses.py"), "");
});
afterAll(() => rm(baseDir, { recursive: true, force: true }));

function experiment(evaluate: ReturnType<typeof source>, mine = demoSource("train"), checkpoint = demoModel) {
  return defineExperiment(
    { name: "x", model: biEncoder(checkpoint), evaluate: { data: evaluate }, mine: { data: mine } },
    { baseDir },
  );
}

test("what is there is accepted: a file, a folder with a corpus, what comes with Quarry", () => {
  expect(() => checkPaths(experiment(source({ corpus: "full", qrels: "q.tsv" })))).not.toThrow();
  expect(() =>
    checkPaths(experiment(source({ corpus: "full/corpus.jsonl", qrels: ["q.tsv", "q.tsv"] }))),
  ).not.toThrow();
  expect(() => checkPaths(experiment(demoSource("heldout")))).not.toThrow();
});

test("a folder may hold its corpus compressed", () => {
  expect(() => checkPaths(experiment(source({ corpus: "packed", qrels: "q.tsv" })))).not.toThrow();
});

test("qrels and queries of one's own over what comes with Quarry must be there", () => {
  const training = (options: object) =>
    defineExperiment(
      {
        name: "x",
        model: biEncoder(demoModel),
        train: {
          data: binary({
            positives: demoSource("train"),
            negatives: demoSource("train", { qrels: "q.tsv", ...options }),
            negativesPerQuery: 1,
          }),
        },
      },
      { baseDir },
    );
  expect(training({}).config.train?.data).toMatchObject({ negatives: { qrels: "q.tsv" } });
  expect(() => checkPaths(training({}))).not.toThrow();
  expect(() => checkPaths(training({ qrels: "mined.tsv", queries: "q.jsonl" }))).toThrow(
    `2 problems in the experiment:
  train.data.negatives.queries: there is no "q.jsonl" (looked for ${join(baseDir, "q.jsonl")})
  train.data.negatives.qrels: there is no "mined.tsv" (looked for ${join(baseDir, "mined.tsv")})`,
  );
});

test("plugins are Python files beside the script", () => {
  const plugged = (...plugins: string[]) =>
    defineExperiment({ name: "x", model: biEncoder(demoModel, { plugins }) }, { baseDir });
  expect(() => checkPaths(plugged("losses.py"))).not.toThrow();
  expect(() => checkPaths(plugged("losses.py", "more.py", "q.tsv"))).toThrow(
    `2 problems in the experiment:
  model.plugins.1: there is no "more.py" (looked for ${join(baseDir, "more.py")})
  model.plugins.2: "q.tsv" is not a Python file (.py)`,
  );
});

test("every missing file is named as written and as resolved", () => {
  const absent = experiment(source({ corpus: "absent.jsonl", queries: "none.jsonl", qrels: ["q.tsv", "no.tsv"] }));
  expect(() => checkPaths(absent)).toThrow(
    `3 problems in the experiment:
  evaluate.data.corpus: there is no "absent.jsonl" (looked for ${join(baseDir, "absent.jsonl")})
  evaluate.data.queries: there is no "none.jsonl" (looked for ${join(baseDir, "none.jsonl")})
  evaluate.data.qrels: there is no "no.tsv" (looked for ${join(baseDir, "no.tsv")})`,
  );
});

test("links in a circle are not said to be missing", async () => {
  await symlink("circle.tsv", join(baseDir, "circle.tsv"));
  expect(() => checkPaths(experiment(source({ corpus: "full", qrels: "circle.tsv" })))).toThrow(
    `evaluate.data.qrels: "circle.tsv" cannot be read: its symbolic links lead in a circle (looked for ${join(baseDir, "circle.tsv")})`,
  );
});

test.skipIf(process.getuid?.() === 0)("nor is what may not be read, or lies in a closed folder", async () => {
  await mkdir(join(baseDir, "closed"));
  await writeFile(join(baseDir, "closed.tsv"), "", { mode: 0o000 });
  await chmod(join(baseDir, "closed"), 0o000);
  const why = "cannot be read: no permission for the file, or for a folder on the way";
  expect(() => checkPaths(experiment(source({ corpus: "closed/corpus.jsonl", qrels: "closed.tsv" })))).toThrow(
    `2 problems in the experiment:
  evaluate.data.corpus: "closed/corpus.jsonl" ${why} (looked for ${join(baseDir, "closed/corpus.jsonl")})
  evaluate.data.qrels: "closed.tsv" ${why} (looked for ${join(baseDir, "closed.tsv")})`,
  );
});

test("a run file that is missing is told once, under its own option", () => {
  const [data, retrievers] = [demoSource("train"), [{ run: ["q.tsv", "no.run"] }]];
  const mining = defineExperiment({ name: "x", model: biEncoder(demoModel), mine: { data, retrievers } }, { baseDir });
  const refresh = { everySteps: 2, mine: { retrievers } };
  const view = binary({ positives: data, negatives: data, negativesPerQuery: 1 });
  const training = defineExperiment(
    { name: "x", model: biEncoder(demoModel), train: { data: view, args: { maxSteps: 8 }, refresh } },
    { baseDir },
  );
  const missing = `there is no "no.run" (looked for ${join(baseDir, "no.run")})`;
  expect(() => checkPaths(mining)).toThrow(`mine.retrievers.0.run: ${missing}`);
  expect(() => checkPaths(training)).toThrow(`train.refresh.mine.retrievers.0.run: ${missing}`);
});

test("only what is about to run is looked at", () => {
  const other = experiment(demoSource("heldout"), source({ corpus: "absent.jsonl" }));
  expect(() => checkPaths(other, ["evaluate"])).not.toThrow();
  expect(() => checkPaths(other, ["mine"])).toThrow("mine.data.corpus");
});

test("a checkpoint that is written as a path must be there; a model id is left to Python", () => {
  expect(() => checkPaths(experiment(demoSource("heldout"), demoSource("train"), "./model"))).toThrow(
    "model.checkpoint: there is no",
  );
  expect(() => checkPaths(experiment(demoSource("heldout"), demoSource("train"), "org/model"))).not.toThrow();
  expect(resolveCheckpoint("full", baseDir)).toBe(join(baseDir, "full"));
  expect(resolveCheckpoint("org/model", baseDir)).toBe("org/model");
  expect(resolveCheckpoint(demoModel, baseDir)).toBe(demoModel);
});
