/** Loss curves as test assets: the same seed gives the same batches and losses, today, next year, and after a stop. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, EventStream, source, train } from "../../src/index.js";
import { writeCollection } from "../fixtures/collection.js";
import { writeTinyModel } from "../fixtures/tiny-model.js";

/**
 * Other versions of torch and other processors move the last bits of a sum, and twelve steps of a high learning rate carry
 * them on: to 5e-5 where the kernels are those for SSE4.
 */
const TOLERANCE = 3e-4;
const STEPS = 12;
/** `node scripts/write-golden-curves.mjs` sets it: curves are written instead of compared. */
const isWriting = process.env["QUARRY_WRITE_GOLDEN"] === "1";

interface Line {
  readonly step: number;
  readonly loss: number;
  readonly rows: string;
}

interface Golden {
  readonly versions: Readonly<Record<string, string>>;
  readonly rows: readonly string[];
  readonly losses: readonly number[];
}

let folder = "";
/** Curves of this session by run folder, so that none is trained twice. */
const curves = new Map<string, Promise<readonly Line[]>>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-golden-"));
  await writeTinyModel(join(folder, "model"));
  await writeCollection(join(folder, "collection"), { passages: 96, queries: 48, isEachDifferent: true });
  const negatives = Array.from({ length: 24 }, (_, at) =>
    [60, 70, 80].map((passage) => `q${2 * at}\tp${passage + (at % 10)}\t0`),
  ).flat();
  await writeFile(join(folder, "negatives.tsv"), `query-id\tcorpus-id\tscore\n${negatives.join("\n")}\n`);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

type TrainInput = NonNullable<Parameters<typeof defineExperiment>[0]["train"]>;

const judged = { corpus: "collection", qrels: "collection/qrels/train.tsv" };
const pairs = binary({ positives: source(judged) });
const graded = binary({
  positives: source(judged),
  negatives: source({ ...judged, qrels: "negatives.tsv", groupRandomK: 2 }),
  negativesPerQuery: 2,
});

/** Few of them: each takes the start of torchrun. */
const CONFIGURATIONS: Readonly<Record<string, Partial<TrainInput> & Pick<TrainInput, "data">>> = {
  infonce: { data: pairs },
  kl: { data: graded, loss: { name: "kl", temperature: 0.1 } },
  accumulation: { data: graded, queriesPerRank: 2 },
  "two-ranks-without-dropout": { data: pairs, ranks: 2, dropout: false },
};

function experiment(name: string, runDir: string) {
  return defineExperiment(
    {
      ...{ name, runDir: join(folder, runDir), cacheDir: join(folder, "cache"), seed: 11 },
      model: biEncoder("./model"),
      train: {
        ...{ globalBatchSize: 8, ranks: 1, threads: 1, loss: { name: "infonce", temperature: 0.1 } },
        args: { maxSteps: STEPS, learningRate: 3e-3, saveSteps: 100 },
        ...(CONFIGURATIONS[name] as TrainInput),
      },
      workers: { device: "cpu" },
    },
    { baseDir: folder },
  );
}

/** The curve that a run folder records; the later line of a step counts. */
async function recorded(runDir: string): Promise<Line[]> {
  const text = await readFile(join(folder, runDir, "train", "steps.jsonl"), "utf8");
  const lines = text.trim().split("\n");
  const byStep = new Map<number, Line>();
  for (const line of lines) {
    const { step, loss, rows } = JSON.parse(line) as Line;
    byStep.set(step, { step, loss, rows });
  }
  return [...byStep.values()];
}

function curveOf(name: string, runDir = name): Promise<readonly Line[]> {
  const known = curves.get(runDir) ?? train(experiment(name, runDir)).then(() => recorded(runDir));
  curves.set(runDir, known);
  return known;
}

const fileOf = (name: string): string => fileURLToPath(new URL(`../golden/${name}.json`, import.meta.url));

async function versions(runDir: string): Promise<Record<string, string>> {
  const text = await readFile(join(folder, runDir, "environment.json"), "utf8");
  const { torch = "?", transformers = "?" } = (JSON.parse(text) as { python: Record<string, string> }).python;
  return { torch, transformers };
}

test.each(Object.keys(CONFIGURATIONS))("%s gives the batches and losses of its golden curve", async (name) => {
  const curve = await curveOf(name);
  const [rows, losses] = [curve.map((line) => line.rows), curve.map((line) => line.loss)];
  const here = await versions(name);
  if (isWriting) await writeFile(fileOf(name), `${JSON.stringify({ versions: here, rows, losses }, null, 2)}\n`);
  const golden = JSON.parse(await readFile(fileOf(name), "utf8")) as Golden;
  const context = `${name}: written with ${JSON.stringify(golden.versions)}, here ${JSON.stringify(here)}; after a wanted change: node scripts/write-golden-curves.mjs`;
  expect(rows, context).toEqual(golden.rows);
  const off = losses.map((loss, at) => Math.abs(loss - (golden.losses[at] ?? Number.NaN)));
  expect(Math.max(...off), context).toBeLessThan(TOLERANCE);
  // A curve that stands still would pin nothing.
  expect(Math.max(...losses) - Math.min(...losses)).toBeGreaterThan(100 * TOLERANCE);
});

test("the same seed gives the same curve twice, bit for bit", async () => {
  const [once, twice] = [await curveOf("infonce"), await curveOf("infonce", "infonce-again")];
  expect(twice).toEqual(once);
  expect(new Set(once.map(({ loss }) => loss)).size).toBe(STEPS);
});

test("after a stop and a resume the rows and losses of every step are those of the run that was left alone", async () => {
  const controller = new AbortController();
  const events = new EventStream();
  events.subscribe((event) => {
    if (event.type === "trainStep" && event.step === 4) controller.abort();
  });
  const stopped = experiment("infonce", "stopped");
  await expect(train(stopped, { signal: controller.signal, events })).rejects.toMatchObject({ code: "INTERRUPTED" });
  const before = await recorded("stopped");
  expect(before.length).toBeGreaterThanOrEqual(4);
  expect(before.length).toBeLessThan(STEPS);
  await train(stopped);
  const [whole, wanted] = [await recorded("stopped"), await curveOf("infonce")];
  expect(whole.map(({ step, rows }) => [step, rows])).toEqual(wanted.map(({ step, rows }) => [step, rows]));
  for (const [at, { step, loss }] of whole.entries())
    expect(Math.abs(loss - (wanted[at]?.loss ?? Number.NaN)), `step ${step}`).toBeLessThan(1e-6);
});
