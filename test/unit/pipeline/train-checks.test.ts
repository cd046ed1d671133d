/** What this machine's GPUs cannot do is refused before any step begins: ranks, and workers beside them. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { TrainingSet } from "../../../src/data/types.js";
import { biEncoder, binary, defineExperiment, type Experiment, run, source } from "../../../src/index.js";
import { RunContext } from "../../../src/pipeline/context.js";
import { gpusBeside } from "../../../src/pipeline/side-pool.js";
import { checkMachine } from "../../../src/pipeline/train-checks.js";
import { openParts } from "../../../src/pipeline/train-parts.js";
import { EventStream } from "../../../src/report/events.js";
import { openRunDir } from "../../../src/rundir/directory.js";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-train-checks-"));
  // Ends a run that is not refused when its data is looked through, before anything is started.
  await writeFile(join(folder, "corpus.jsonl"), "no JSON\n");
  await writeFile(join(folder, "queries.jsonl"), '{"_id":"q1","text":"a"}\n');
  await writeFile(join(folder, "qrels.tsv"), "query-id\tcorpus-id\tscore\nq1\td1\t1\n");
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

type Beside = "nothing" | "evaluation" | "mining";

/** Evaluates first, then trains on as many GPUs as are said to be there. */
function experimentOf(gpus: string, ranks: number | "auto", device: string, beside: Beside): Experiment {
  vi.stubEnv("CUDA_VISIBLE_DEVICES", gpus);
  const data = source({ corpus: "corpus.jsonl", queries: "queries.jsonl", qrels: "qrels.tsv" });
  const train = {
    data: binary({ positives: data, ...(beside === "mining" ? { negativesPerQuery: 1 } : {}) }),
    ranks,
    ...(beside === "evaluation" ? { evaluate: { data, measures: ["nDCG@10"] } } : {}),
    ...(beside === "mining" ? { refresh: { everySteps: 5, mine: { topK: 20, negativesPerQuery: 1 } } } : {}),
    args: { maxSteps: 20 },
  } as const;
  return defineExperiment(
    {
      ...{ name: "checked", model: biEncoder("some/model"), evaluate: { data }, train, steps: ["evaluate", "train"] },
      ...{ workers: { device }, runDir: join(folder, "run"), cacheDir: join(folder, "cache") },
    },
    { baseDir: folder },
  );
}

test.each([
  ["0,1", 4, "auto", "nothing", "train.ranks is 4, but there are 2 GPUs."],
  ["0,1", 2, "cuda:1", "nothing", "train.ranks is 2, but workers.device is cuda:1, which is one GPU."],
  ["0,1", "auto", "cuda:2", "nothing", "workers.device is cuda:2, but 2 GPUs may be used."],
  ["3", "auto", "auto", "evaluation", "train.evaluate.workers: the rank holds the only GPU of this machine."],
] as const)(
  "on GPUs %s, %s ranks on %s with %s beside them are refused before the first step: %s",
  async (gpus, ranks, device, beside, message) => {
    const refused = run(experimentOf(gpus, ranks, device, beside));
    await expect(refused).rejects.toMatchObject({ code: "CONFIG", message });
  },
);

test.each([
  ["0", "auto", "auto", "mining"],
  ["0,1", 1, "auto", "evaluation"],
  ["0,1", "auto", "cuda:1", "evaluation"],
  ["", 2, "auto", "evaluation"],
  ["0", 2, "cpu", "evaluation"],
] as const)("GPUs %j are enough for %s ranks on %s with %s beside them", async (gpus, ranks, device, beside) => {
  await expect(run(experimentOf(gpus, ranks, device, beside))).rejects.toMatchObject({ code: "DATA" });
});

/** A run of its own folder, for what a whole run would end before. */
async function inRun(experiment: Experiment, look: (context: RunContext) => Promise<void>): Promise<void> {
  const runDir = await openRunDir({ path: join(folder, "run"), config: {}, bound: () => [] });
  try {
    await look(new RunContext(experiment, runDir, new EventStream(), new AbortController().signal));
  } finally {
    await runDir.close();
  }
}

test("a run whose training is done goes on where there are fewer GPUs", () =>
  inRun(experimentOf("0", 4, "auto", "evaluation"), async (context) => {
    await expect(checkMachine(context)).rejects.toMatchObject({ code: "CONFIG" });
    await context.runDir.journal.append({ type: "stepDone", step: "train" });
    await checkMachine(context);
  }));

test.each([
  ["on a GPU that is named has one rank, which sees no other", "cuda:1", "5"],
  ["on the CPU has one rank, however many GPUs there are", "cpu", "4,5,6"],
])("training %s", (_, device, visible) =>
  inRun(experimentOf("4,5,6", "auto", device, "nothing"), async (context) => {
    await mkdir(context.runDir.file("train"));
    const set = { partCount: 1, partName: () => "all", passagesPerQuery: 2, fingerprint: "set" };
    const from = {} as Parameters<typeof openParts>[3];
    const train = context.config.train as Parameters<typeof openParts>[1];
    const { job, close } = await openParts(context, train, set as unknown as TrainingSet, from);
    await close();
    expect([job.ranks, job.python.env["CUDA_VISIBLE_DEVICES"]]).toEqual([1, visible]);
  }),
);

test("a rank on a GPU that is named leaves the others to the workers beside it", async () => {
  const python = { executable: "python", env: { PATH: "/nowhere", CUDA_VISIBLE_DEVICES: "4,5,6" } };
  expect(await gpusBeside(python, "auto")).toEqual(["4", "5", "6"]);
  expect(await gpusBeside(python, "cuda:1")).toEqual(["5", "4", "6"]);
  expect(await gpusBeside(python, "cpu")).toEqual([]);
});
