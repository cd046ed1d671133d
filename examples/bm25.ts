/**
 * Begins with a BM25 run from elsewhere (TREC files, plain or gzip): mines negatives from it, measures it before and
 * after a cross-encoder ranked it again, and compares both rankings with a dense one.
 *
 *   SCIFACT=path/to/scifact BM25_TRAIN=train.run.gz BM25_TEST=test.run.gz npx jiti examples/bm25.ts
 *
 * The negatives are for training as in scifact.ts (MINED=runs/bm25-negatives/mine-base/negatives.tsv).
 */
import { join } from "node:path";
import { biEncoder, compareRuns, crossEncoder, defineExperiment, evaluate, mine, source } from "quarry";

const { SCIFACT: folder = "scifact", BM25_TRAIN = "train.run.gz", BM25_TEST = "test.run.gz" } = process.env;
const model = biEncoder(process.env.MODEL ?? "sentence-transformers/all-MiniLM-L6-v2");
const qrels = join(folder, "qrels/test.tsv");
const train = source({ corpus: folder, qrels: join(folder, "qrels/train.tsv") });
const test = source({ corpus: folder, qrels });

// Only the run is asked. Of what BM25 ranks first, much is relevant without a label.
const negatives = defineExperiment({
  name: "bm25-negatives",
  model,
  mine: { data: train, includeModel: false, retrievers: [{ run: BM25_TRAIN }], rangeMin: 3, negativesPerQuery: 10 },
});
console.log("negatives", (await mine(negatives)).files.negatives);

// The run takes the place of the search, so the model is not asked here either.
const again = defineExperiment({
  name: "bm25-reranked",
  model,
  evaluate: { data: test, run: BM25_TEST, measures: ["nDCG@10", "R@100"] },
  rerank: crossEncoder(process.env.CROSS_ENCODER ?? "cross-encoder/ms-marco-MiniLM-L6-v2", { topK: 100 }),
});
const { metrics, files } = await evaluate(again);
console.log("BM25", metrics.run, "ranked again", metrics["run+rerank"]);

const dense = (await evaluate(defineExperiment({ name: "dense", model, evaluate: { data: test } }))).files["run.base"];
const { runs, comparisons } = await compareRuns([BM25_TEST, files["run.run+rerank"] as string, dense as string], {
  qrels,
  measures: ["nDCG@10"],
});
for (const { run, mean: own } of runs) console.log(run, own);
for (const { run, difference, interval, randomisation } of comparisons)
  console.log(
    `${run}: ${difference.toFixed(4)} (${interval.map((end) => end.toFixed(4)).join(" to ")})`,
    randomisation.p,
  );
