/** `quarry doctor` on whole experiments: a sound one passes, and each broken one ends with 2 and says what to do. */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import type { DoctorReport } from "../../src/index.js";
import { writeCollection } from "../fixtures/collection.js";
import { commandLine } from "../fixtures/command-line.js";
import { mountSmallDisk, whyNoSmallDisk } from "../fixtures/small-disk.js";
import { writeTinyModel } from "../fixtures/tiny-model.js";

const noDisk = whyNoSmallDisk();
const plugin = (name: string): string => fileURLToPath(new URL(`../py/doctor/${name}.py`, import.meta.url));
let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-doctor-"));
  await writeTinyModel(join(folder, "model"));
  await writeCollection(join(folder, "collection"), { passages: 96, queries: 24, isEachDifferent: true });
  await writeFile(join(folder, "dangling.tsv"), "query-id\tcorpus-id\tscore\nq1\tp1\t1\nq3\tnowhere\t1\n");
  // Another corpus, in which a negative of q2 is a copy of what answers it.
  const copied = await writeCollection(join(folder, "copied"), { passages: 96, queries: 24 });
  const corpus = await readFile(join(copied, "corpus.jsonl"), "utf8");
  const answer = JSON.parse(corpus.split("\n")[2] ?? "") as object;
  await writeFile(join(copied, "corpus.jsonl"), `${corpus}${JSON.stringify({ ...answer, _id: "copy" })}\n`);
  const negatives = Array.from({ length: 12 }, (_, at) => `q${2 * at}\t${at === 1 ? "copy" : `p${60 + at}`}\t0`);
  await writeFile(join(folder, "negatives.tsv"), `query-id\tcorpus-id\tscore\n${negatives.join("\n")}\n`);
  await writeFile(
    join(folder, "negatives.ts"),
    `import { binary, source } from "quarry";
     import experiment from "./experiment.ts";
     const texts = { corpus: "copied" };
     const data = binary({
       positives: source({ ...texts, qrels: "copied/qrels/train.tsv" }),
       negatives: source({ ...texts, qrels: "negatives.tsv" }),
       negativesPerQuery: 1,
     });
     export default { ...experiment.input, train: { ...experiment.input.train, data } };`,
  );
  await writeFile(
    join(folder, "experiment.ts"),
    `import { biEncoder, binary, defineExperiment, source } from "quarry";
     const texts = { corpus: "collection", qrels: "collection/qrels/train.tsv" };
     export default defineExperiment({
       name: "patient",
       model: biEncoder("./model", { passageMaxLength: 128 }),
       train: {
         data: binary({ positives: source(texts) }),
         globalBatchSize: 8, queriesPerRank: 4, ranks: 1, threads: 1, args: { maxSteps: 60 },
       },
       evaluate: { data: source({ ...texts, qrels: "collection/qrels/test.tsv" }) },
       workers: { device: "cpu" }, cacheDir: "./cache", runDir: ${JSON.stringify(join(folder, "run"))},
     });`,
  );
});
afterEach(() => {
  vi.unstubAllEnvs();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Examined {
  readonly status: number;
  readonly report: DoctorReport;
  /** The worst status of the checks of a name. */
  of(name: string): DoctorReport["checks"][number] | undefined;
}

const doctor = (...argv: string[]): Promise<Examined> => examine("experiment.ts", ...argv);

async function examine(script: string, ...argv: string[]): Promise<Examined> {
  const argvOf = ["doctor", join(folder, script), "--json", ...argv];
  // For the program of one test: in one environment all calls are forked from one process.
  const env = { PATH: `${folder}:${process.env["PATH"] ?? ""}` };
  const { exitCode: status, stdout, stderr } = await commandLine(argvOf, { cwd: process.cwd(), env });
  if (stdout === "") throw new Error(stderr);
  const report = JSON.parse(stdout) as DoctorReport;
  const order = ["refuse", "note", "ok"];
  return {
    ...{ status, report },
    of: (name) =>
      report.checks
        .filter(({ check }) => check === name)
        .sort((one, other) => order.indexOf(one.status) - order.indexOf(other.status))[0],
  };
}

test("a sound experiment ends with 0, has every check, and leaves no run folder", async () => {
  const { status, report, of } = await doctor("--probe", "1");
  expect(report.checks.filter((check) => check.status === "refuse")).toEqual([]);
  expect({ status, isFit: report.isFit }).toEqual({ status: 0, isFit: true });
  expect(report.checks.map(({ check }) => check)).toEqual(
    expect.arrayContaining([
      ...["Python", "devices", "faults", "leakage", "query prompt", "text of train passages"],
      ...["passage special tokens", "length of evaluate passages", "pooled token", "vectors and batch size"],
      ...["vectors and padding side", "loss of the first step", "temperature", "memory", "time of training"],
      ...["time of evaluate.data", "disk"],
    ]),
  );
  // Eight queries a step in two micro-steps of four: each is compared with four passages, but for masked ones.
  expect(of("loss of the first step")?.facts["columns"]).toBeGreaterThan(3);
  expect(of("loss of the first step")?.facts["columns"]).toBeLessThanOrEqual(4);
  expect(of("time of training")?.facts["totalSeconds"]).toBeGreaterThan(0);
  expect(existsSync(join(folder, "run"))).toBe(false);
});

test("GPUs that CUDA_VISIBLE_DEVICES hides are not there", async () => {
  const listed = "0, GPU-a, NVIDIA A, 24576, 24000\n1, GPU-b, NVIDIA B, 81920, 80000";
  await writeFile(join(folder, "nvidia-smi"), `#!/bin/sh\ncat <<END\n${listed}\nEND\n`, { mode: 0o755 });
  for (const [visible, status, seen] of [
    ["", 0, "no GPU: "],
    // There is none really, so the look at the model that follows fails.
    ["1", 2, "1 × NVIDIA B (85.9 GB); "],
  ] as const) {
    vi.stubEnv("CUDA_VISIBLE_DEVICES", visible);
    const examined = await doctor("--probe", "0", "--workers.device", "auto");
    expect(examined.of("devices")?.seen.slice(0, seen.length)).toBe(seen);
    expect(examined.status).toBe(status);
  }
});

test("too little memory ends with 2 and names a size that was tried and fits", async () => {
  const { status, of } = await doctor("--probe", "1", "--train.queriesPerRank", "8", "--memory", "1MB");
  expect({ status, memory: of("memory")?.status }).toEqual({ status: 2, memory: "refuse" });
  expect(of("memory")?.todo).toContain("Not even one query fits");
  const hungry = ["--train.loss.name", "hungry", "--model.plugins", JSON.stringify([plugin("broken_losses")])];
  const ended = await doctor("--probe", "1", "--train.queriesPerRank", "8", ...hungry);
  expect({ status: ended.status, memory: ended.of("memory")?.status }).toEqual({ status: 2, memory: "refuse" });
  expect(ended.of("memory")?.todo).toContain("train.queriesPerRank 2 fits");
});

test("too little disk ends with 2, by a figure and on a disk that is really small", async () => {
  const { status, of } = await doctor("--probe", "0", "--disk", "1MB");
  expect({ status, disk: of("disk")?.status }).toEqual({ status: 2, disk: "refuse" });
  if (noDisk !== null) return;
  const disk = mountSmallDisk(2);
  try {
    const real = await doctor("--probe", "0", "--runDir", join(disk.path, "runs", "patient"));
    expect({ status: real.status, disk: real.of("disk")?.status }).toEqual({ status: 2, disk: "refuse" });
    expect(real.of("disk")?.todo).toContain("Free ");
  } finally {
    disk.unmount();
  }
});

test("an encoder whose padding reaches the vector ends with 2, before anything is timed", async () => {
  const broken = ["--model.encoder", "last_column", "--model.plugins", JSON.stringify([plugin("broken_encoders")])];
  const { status, of } = await doctor("--probe", "1", ...broken);
  expect({ status, found: of("vectors and batch size")?.status, memory: of("memory") }).toEqual({
    ...{ status: 2, found: "refuse", memory: undefined },
  });
});

test("a model at which the system ends Python is one for which memory is too small", async () => {
  const deadly = ["--model.encoder", "deadly", "--model.plugins", JSON.stringify([plugin("broken_encoders")])];
  const { status, of } = await doctor("--probe", "1", ...deadly);
  expect({ status, memory: of("memory")?.status }).toEqual({ status: 2, memory: "refuse" });
  expect(of("memory")?.seen).toContain("the system ended Python at");
});

test("what is evaluated and trained on, and a negative with a positive's text, are told without stopping anything", async () => {
  const same = await doctor("--probe", "0", "--evaluate.data.qrels", "collection/qrels/train.tsv");
  expect(same.of("leakage")).toMatchObject({ status: "note", facts: { leaked: 12, queries: 12 } });
  const { of } = await examine("negatives.ts", "--probe", "0");
  expect(of("false negatives")).toMatchObject({ status: "note", facts: { false: 1, negatives: 12 } });
  expect(of("false negatives")?.seen).toContain("copy of query q2");
  expect(of("false negatives")?.todo).toContain("mine.excludeIdenticalTexts");
});

test("a batch that the ranks cannot share is answered with the numbers that would do, as by every command", async () => {
  const examined = doctor("--probe", "0", "--train.ranks", "auto", "--train.queriesPerRank", "3");
  await expect(examined).rejects.toThrow("cannot be shared equally among 3 queries per rank; 6 or 9 can");
});

test("what is measured or mined from while training is looked at like what is evaluated, but for its price", async () => {
  await writeFile(
    join(folder, "measured.ts"),
    `import { source } from "quarry";
     import experiment from "./experiment.ts";
     const held = source({ corpus: "copied", qrels: "copied/qrels/test.tsv" });
     const mined = source({ corpus: "collection", qrels: "collection/qrels/train.tsv" });
     const { evaluate, train, ...rest } = experiment.input;
     const data = { ...train.data, negativesPerQuery: 1 };
     const refresh = { everySteps: 20, mine: { data: mined } };
     export default { ...rest, train: { ...train, data, refresh, evaluate: { data: held } } };`,
  );
  const { report, of } = await examine("measured.ts", "--probe", "0", "--model.passageMaxLength", "16");
  const names = report.checks.map(({ check }) => check);
  expect(names).toEqual(
    expect.arrayContaining([
      ...["text of train.evaluate queries", "length of train.evaluate passages"],
      ...["text of train.refresh.mine queries", "length of train.refresh.mine passages"],
    ]),
  );
  expect(of("length of train.evaluate passages")?.status).toBe("note");
  // There are none before the first ones are mined, which is what such a training asks for.
  expect(of("negatives")).toBeUndefined();
  expect(of("leakage")).toMatchObject({ status: "ok", facts: { leaked: 0, queries: 12 } });
  expect(names.filter((name) => name.startsWith("time of ") || name === "disk")).toEqual(["disk"]);
  const broken = await examine("measured.ts", "--probe", "0", "--train.evaluate.data.qrels", "dangling.tsv");
  expect({ status: broken.status, fault: broken.of("danglingIds")?.status }).toEqual({ status: 2, fault: "refuse" });
  const missing = examine("measured.ts", "--probe", "0", "--train.evaluate.data.qrels", "nowhere.tsv");
  await expect(missing).rejects.toThrow('train.evaluate.data.qrels: there is no "nowhere.tsv"');
  const unknown = await examine("measured.ts", "--probe", "0", "--train.refresh.mine.data.qrels", "dangling.tsv");
  expect({ status: unknown.status, fault: unknown.of("danglingIds")?.status }).toEqual({ status: 2, fault: "refuse" });
});

test("faults of the data end with 2 before any model loads", async () => {
  const { status, report, of } = await doctor("--probe", "0", "--evaluate.data.qrels", "dangling.tsv");
  expect({ status, fault: of("danglingIds")?.status }).toEqual({ status: 2, fault: "refuse" });
  expect(report.checks.map(({ group }) => group)).not.toContain("tokens");
});
