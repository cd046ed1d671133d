/**
 * Trains on MS MARCO's passages, on all GPUs, with hard negatives that the untrained model has mined.
 *
 *   npx quarry run examples/msmarco.ts      # mines, trains with what was mined, evaluates on dev
 *
 * or, to know memory, hours and disk before the training costs anything,
 *
 *   npx quarry mine examples/msmarco.ts     # → runs/msmarco/mine-base/negatives.tsv
 *   npx quarry doctor examples/msmarco.ts
 *   npx quarry run examples/msmarco.ts      # what was mined is not mined again
 *
 * The files come from the Hugging Face hub, or from the folder that MSMARCO names, in MS MARCO's own form:
 * collection.tsv, and queries.<split>.tsv and qrels.<split>.tsv of train and dev.small. What each option is for:
 * docs/training.md, "On several GPUs".
 */
import { join, resolve } from "node:path";
import { biEncoder, binary, defineExperiment, source } from "quarry";

const folder = process.env.MSMARCO;
const texts = "hf://datasets/BeIR/msmarco@a34cc72b5fc811a13f5ae23b9a37af273e7bb631";
const judgements = "hf://datasets/BeIR/msmarco-qrels@1c359b52f4e18b12c722a0cc030f207d951bcd82";

/** On the hub one file has the queries of all splits. */
const filesOf = (split: "train" | "dev.small") =>
  folder === undefined
    ? {
        corpus: `${texts}/corpus.jsonl.gz`,
        queries: `${texts}/queries.jsonl.gz`,
        qrels: `${judgements}/${split === "train" ? "train" : "dev"}.tsv`,
      }
    : {
        corpus: join(folder, "collection.tsv"),
        queries: join(folder, `queries.${split}.tsv`),
        qrels: join(folder, `qrels.${split}.tsv`),
      };
const train = filesOf("train");

// A path that does not depend on where this script lies: run folders start in the working folder.
const mined = resolve("runs/msmarco/mine-base/negatives.tsv");

export default defineExperiment({
  name: "msmarco",
  model: biEncoder("sentence-transformers/all-MiniLM-L6-v2", {
    queryMaxLength: 32,
    passageMaxLength: 128,
    padToMultipleOf: 8,
  }),
  steps: ["mine", "train", "evaluate"],
  mine: { data: source(train), topK: 200, relativeMargin: 0.05, sampling: "random", negativesPerQuery: 30 },
  train: {
    data: binary({
      positives: source(train),
      negatives: source({ ...train, qrels: mined, groupRandomK: 3 }),
      negativesPerQuery: 3,
    }),
    loss: { name: "infonce", temperature: 0.02 },
    globalBatchSize: 1024,
    miniBatchSize: 128,
    args: { numTrainEpochs: 3, learningRate: 2e-5, warmupSteps: 0.1, bf16: true },
  },
  evaluate: { data: source(filesOf("dev.small")), measures: ["RR@10", "nDCG@10", "R@100"] },
  workers: { batchSize: "auto" },
  embeddings: { dtype: "float16" },
});
