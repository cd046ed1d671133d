/** What a run folder is bound to: docs/experiments.md lists, under Resuming, what may still change; all else may not. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { biEncoder, binary, defineExperiment, source } from "quarry";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { trainEvaluateSchema } from "../../../src/experiment/evaluate-schema.js";
import {
  type ExperimentConfig,
  embeddingsSchema,
  experimentSchema,
  refreshSchema,
  trainingArgsSchema,
  trainSchema,
  workersSchema,
} from "../../../src/experiment/schema.js";
import { bound, determinants } from "../../../src/pipeline/determinants.js";
import { differences } from "../../../src/rundir/difference.js";
import { openRunDir } from "../../../src/rundir/directory.js";

const data = source({ corpus: "corpus.jsonl", queries: "queries.jsonl", qrels: "qrels.tsv" });
const { config } = defineExperiment({
  name: "a",
  model: biEncoder("base"),
  train: {
    data: binary({ positives: data, negatives: data, negativesPerQuery: 1 }),
    args: { maxSteps: 10, saveSteps: 5 },
    evaluate: { data },
    refresh: { everySteps: 2 },
  },
  evaluate: { data },
  search: { data },
});
const { train: _, ...withoutTraining } = config;
/** Evaluation in training says for itself when it takes place: as often as checkpoints are written. */
const evaluating = changed("train.evaluate.evalSteps", config, 5);

/** The experiment with another value for the option of this path. */
function changed(path: string, from: ExperimentConfig, value: unknown = "another value"): ExperimentConfig {
  const change = (options: unknown, [name = "", ...rest]: readonly string[]): object => {
    const before = (options ?? {}) as Readonly<Record<string, unknown>>;
    return { ...before, [name]: rest.length === 0 ? value : change(before[name], rest) };
  };
  return change(from, path.split(".")) as ExperimentConfig;
}

function isFixed(path: string, from: ExperimentConfig): boolean {
  return differences(determinants(from), determinants(changed(path, from))).length > 0;
}

/** Every option of a section, by its path. */
function optionsOf(section: string, { shape }: { readonly shape: object }, apart: readonly string[] = []): string[] {
  const names = Object.keys(shape).filter((name) => !apart.includes(name));
  return names.map((name) => (section === "" ? name : `${section}.${name}`));
}

const COMMON = [
  ...optionsOf("", experimentSchema, ["workers", "train", "embeddings"]),
  ...optionsOf("workers", workersSchema),
  ...optionsOf("embeddings", embeddingsSchema),
];
const FREE_FOR_ALL = [
  ...["steps", "runDir", "cacheDir"],
  ...optionsOf("workers", workersSchema, ["batchSize", "unitSize"]),
  ...optionsOf("embeddings", embeddingsSchema, ["dtype"]),
];
const FREE_IN_TRAINING = [
  ...["queriesPerRank", "miniBatchSize", "lengthGroups", "ranks", "nodes", "minNodes"],
  ...["startTimeoutMs", "threads", "maxRestarts"],
  ...["evaluate.mode", "evaluate.saveBestLimit", "evaluate.maxWaiting", "evaluate.workers", "refresh.workers"],
  ...["args.gradientCheckpointing", "args.saveSteps", "args.saveTotalLimit", "args.fsdp", "args.fsdpConfig"],
  ...["args.gradientCheckpointingKwargs", "args.ddpBackend", "args.ddpBucketCapMb", "args.ddpTimeout"],
  ...["args.torchEmptyCacheSteps", "args.logLevel", "args.logLevelReplica"],
].map((name) => `train.${name}`);

// Of those that remain `search` and `validation` may change as well, as long as the folder is not bound to them: see below.
test("every option determines results but those that are documented as free", () => {
  expect(COMMON.filter((path) => !isFixed(path, withoutTraining)).toSorted()).toEqual(FREE_FOR_ALL.toSorted());
  const all = [
    ...COMMON,
    ...optionsOf("train", trainSchema, ["args", "evaluate", "refresh"]),
    ...optionsOf("train.args", trainingArgsSchema),
    ...optionsOf("train.evaluate", trainEvaluateSchema),
    ...optionsOf("train.refresh", refreshSchema),
  ];
  const free = all.filter((path) => !isFixed(path, evaluating));
  expect(free.toSorted()).toEqual([...FREE_FOR_ALL, ...FREE_IN_TRAINING].toSorted());
});

test("checkpoints may be written at other steps, unless evaluation in training goes by them", () => {
  expect(isFixed("train.args.saveSteps", evaluating)).toBe(false);
  expect(isFixed("train.args.saveSteps", config)).toBe(true);
  expect(differences(determinants(config), determinants(evaluating))).toEqual([]);
});

let path: string;
beforeEach(async () => {
  const folder = await mkdtemp(join(tmpdir(), "quarry-determinants-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  path = join(folder, "run");
});

/** Whether the run folder refuses the experiment with another value for this option, and says so. */
async function isRefused(option: string): Promise<boolean> {
  try {
    await (await openRunDir({ path, config: determinants(changed(option, config)), bound })).close();
    return false;
  } catch (thrown) {
    expect(thrown).toMatchObject({ code: "CONFIG", message: expect.stringContaining(`  ${option}: `) });
    return true;
  }
}

async function refusedOf(options: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const option of options) if (await isRefused(option)) found.push(option);
  return found;
}

async function record(...entries: readonly { readonly type: string; readonly step?: string }[]): Promise<void> {
  const runDir = await openRunDir({ path, config: determinants(config), bound });
  for (const entry of entries) await runDir.journal.append(entry);
  await runDir.close();
}

const EVERYWHERE = ["name", "model.dtype", "seed", "workers.batchSize", "embeddings.dtype"];
const OPTIONS = [...EVERYWHERE, "validation.emptyTexts", "train.loss", "evaluate.topK", "search.topK"];

test("a run folder in which nothing is done takes any change, and a search alone binds nothing", async () => {
  await record({ type: "stepDone", step: "search-base" });
  expect(await refusedOf(OPTIONS)).toEqual([]);
});

test("a run folder with results refuses other values of what these depend on, and takes other sections", async () => {
  await record({ type: "stepDone", step: "evaluate-base/scifact" });
  expect(await refusedOf(OPTIONS)).toEqual([...EVERYWHERE, "evaluate.topK"]);
});

test("training binds from its first checkpoint on, long before it is done", async () => {
  await record({ type: "trainBegun" });
  expect(await refusedOf(OPTIONS)).toEqual([...EVERYWHERE, "train.loss"]);
});
