/** The main job with a tiny model: evaluate, train, evaluate, mine, then use what it left. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { execaSync } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, type Workplace } from "./harness.js";
import { askPeer } from "./peer.js";

let place: Workplace;
let first: Awaited<ReturnType<Workplace["start"]>>;

beforeAll(async () => {
  place = await openWorkplace();
  await place.experiment(`
    name: "main-job",
    model: biEncoder(${JSON.stringify(place.model)}),
    steps: ["evaluate", "train", "evaluate", "mine", "encode"],
    train: {
      data: binary({ positives: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }) }),
      globalBatchSize: 8,
      threads: 1,
      args: { maxSteps: 4, learningRate: 1e-3, saveSteps: 2 },
    },
    evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), measures: ["ndcg@10", "recall@100"] },
    mine: { data: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }), topK: 40, negativesPerQuery: 5 },
    encode: { data: source({ corpus: "collection" }) },
    workers: { count: 1, threads: 1, unitSize: 64 },
  `);
  first = await place.start("run", "experiment.ts");
});
afterAll(() => place.remove());

const runDir = (...parts: string[]): string => join(place.folder, "runs/main-job", ...parts);

test("the run succeeds and ends with a table and the path of the run folder", () => {
  expect(first.stderr).toBe("");
  expect(first.exitCode).toBe(0);
  expect(first.stdout).toMatch(/nDCG@10 +\d\.\d{4} +\d\.\d{4} +[+-]\d\.\d{4}/);
  expect(first.stdout).toContain(runDir());
});

test("the run folder holds the experiment, the environment, events, measures, run files, checkpoints and logs", async () => {
  expect((await readdir(runDir())).sort()).toEqual(
    expect.arrayContaining([
      "environment.json",
      "events.jsonl",
      "experiment.json",
      "journal.jsonl",
      "logs",
      "metrics.json",
      "train",
    ]),
  );
  const metrics = JSON.parse(await readFile(runDir("metrics.json"), "utf8"));
  expect(Object.keys(metrics)).toEqual(["evaluate-base", "evaluate-checkpoint-4"]);
  const perQuery = JSON.parse(await readFile(runDir("evaluate-base/per-query.json"), "utf8"));
  expect(Object.keys(perQuery.queries)).toHaveLength(24);
  expect(perQuery.mean).toEqual(metrics["evaluate-base"]);
  const run = (await readFile(runDir("evaluate-base/run.trec"), "utf8")).trim().split("\n");
  expect(run).toHaveLength(24 * 100);
  expect(run[0]).toMatch(/^q1 Q0 p\d+ 1 -?\d+(\.\d+)?(e-\d+)? main-job$/);
  const environment = JSON.parse(await readFile(runDir("environment.json"), "utf8"));
  expect(environment).toMatchObject({ seed: 42, contracts: { base: { dimension: 32 } } });
});

test("mined negatives hold no annotated passage and serve as the next experiment's source", async () => {
  const judged = new Set(
    (await readFile(join(place.collection, "qrels/train.tsv"), "utf8"))
      .split("\n")
      .map((line) => line.split("\t").slice(0, 2).join(" ")),
  );
  const folder = (await readdir(runDir())).find((name) => name.startsWith("mine-")) as string;
  const lines = (await readFile(runDir(folder, "negatives.tsv"), "utf8")).trim().split("\n").slice(1);
  expect(lines).toHaveLength(24 * 5);
  for (const line of lines) expect(judged).not.toContain(line.split("\t").slice(0, 2).join(" "));
  await place.experiment(
    `
    name: "with-negatives",
    model: biEncoder(${JSON.stringify(place.model)}),
    train: {
      data: binary({
        positives: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }),
        negatives: source({ corpus: "collection", qrels: ${JSON.stringify(runDir(folder, "negatives.tsv"))} }),
        negativesPerQuery: 2,
      }),
      globalBatchSize: 8,
      threads: 1,
      args: { maxSteps: 1 },
    },`,
    "second",
  );
  const second = await place.quarry("train", "second.ts");
  expect(second.stderr).toBe("");
  expect(second.exitCode).toBe(0);
});

test("sentence-transformers loads the trained checkpoint and gives Quarry's vectors", async () => {
  const script = `
import json, numpy as np
from sentence_transformers import SentenceTransformer
checkpoint, corpus, vectors = given
rows = [json.loads(line) for line in open(corpus)]
texts = [f"{row['title']} {row['text']}" if row["title"] else row["text"] for row in rows]
own = np.load(vectors)
found = SentenceTransformer(checkpoint, device="cpu").encode(texts, show_progress_bar=False)
answer = [float(np.abs(found - own).max()), *own.shape]
`;
  const folder = (await readdir(runDir())).find((name) => name.startsWith("encode-")) as string;
  const paths = [runDir("train/checkpoint-4"), join(place.collection, "corpus.jsonl"), runDir(folder, "vectors.npy")];
  const [difference, ...shape] = await askPeer<number[]>(script, paths);
  expect(difference).toBeLessThan(1e-5);
  expect(shape).toEqual([480, 32]);
});

test("the same command finds everything done and starts no worker", async () => {
  const again = await place.quarry("run", "experiment.ts");
  expect(again.exitCode).toBe(0);
  const table = (text: string): string[] => text.split("\n").filter((line) => line.includes("nDCG@10"));
  expect(table(again.stdout).at(-1)).toBe(table(first.stdout).at(-1));
  const events = (await readFile(runDir("events.jsonl"), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const restart = events.findLastIndex((event) => event.type === "runStarted");
  expect(events[restart].isResumed).toBe(true);
  expect(events.slice(restart).filter((event) => event.type === "worker")).toEqual([]);
});

test("another configuration in the same run folder is refused with the option that differs", async () => {
  const other = await place.quarry("run", "experiment.ts", "--train.args.learningRate", "0.5");
  expect(other.exitCode).toBe(2);
  expect(other.stderr).toContain("train.args.learningRate");
  expect(other.stderr).toContain("hint:");
});

test("a loss from the user's own Python file trains, chosen on the command line", async () => {
  await writeFile(
    join(place.folder, "my_loss.py"),
    `import msgspec
from torch import nn
from quarry_runtime.modeling.registry import register_loss

class Options(msgspec.Struct):
    margin: float = 0.1

@register_loss("my_loss", Options)
class MyLoss(nn.Module):
    def __init__(self, options):
        super().__init__()
        self.margin = options.margin

    def forward(self, batch):
        scores = batch.scores(1.0)
        own = scores.gather(1, batch.positive_columns.unsqueeze(1))
        return (scores - own + self.margin).relu().masked_fill(batch.mask, 0).mean() + 7
`,
  );
  const args = ["--name", "own-loss", "--model.plugins", "my_loss.py", "--train.loss.name", "my_loss"];
  const result = await place.quarry("train", "experiment.ts", ...args, "--train.args.maxSteps", "1");
  expect(result.exitCode, result.stderr).toBe(0);
  const [line] = (await readFile(join(place.folder, "runs/own-loss/train/steps.jsonl"), "utf8")).split("\n");
  expect(JSON.parse(line as string).loss).toBeGreaterThan(7);
  expect(JSON.parse(line as string)).toMatchObject({ step: 1, maskedPositives: expect.any(Number) as number });
});

const hasNoNetwork = execaSync("unshare", ["-n", "true"], { reject: false }).failed;
if (hasNoNetwork)
  process.stderr.write("Skipped, training without a loopback interface: no namespaces can be made here.\n");

test.skipIf(hasNoNetwork)("training where ranks cannot meet is told, and not waited for", async () => {
  const args = ["train", "experiment.ts", "--name", "lonely"];
  const { exitCode, stderr } = await place.startIn('exec unshare -n "$@"', ...args);
  expect(stderr).toContain("error: Ranks cannot reach each other at 127.0.0.1");
  expect(exitCode).toBe(4);
});

test("nothing is left running", async () => {
  expect(await place.survivors()).toEqual([]);
});
