/**
 * Quarry's side of the data benchmark in a process of its own: plain Node on the compiled package, as users run it.
 *
 * Usage: node quarry-process.mjs <first | serve | local> '{"dist", "collection", "cache", "negatives", "batch", …}'
 * `first` opens the data, builds the first batch and ends. `serve` answers the consumers' requests as training does,
 * until its standard input ends. `local` builds batches for some seconds without sending them.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import koffi from "koffi";

const [mode, given = "{}"] = process.argv.slice(2);
const options = JSON.parse(given);
const { batch, ranks = 1 } = options;
const load = (name) => import(pathToFileURL(join(options.dist, name)).href);
const tell = (event, values = {}) => process.stdout.write(`${JSON.stringify({ event, ...values })}\n`);

if (options.advice !== undefined) overrule(options.advice);
const { biEncoder, binary, defineExperiment, source } = await load("index.js");
const { buildMicroBatch, openTrainingSet, planStep } = await load("data/index.js");
tell("imported");

const texts = { corpus: "corpus.jsonl", queries: "queries.jsonl" };
const experiment = defineExperiment(
  {
    name: "bench-data",
    model: biEncoder("unused"),
    train: {
      data: binary({
        positives: source({ ...texts, qrels: "qrels/train.tsv" }),
        negatives: source({ ...texts, qrels: "negatives.tsv", ...options.negatives }),
        negativesPerQuery: 7,
      }),
      loss: { name: "infonce", temperature: 0.05 },
      globalBatchSize: batch * ranks,
      args: { maxSteps: 1 },
    },
  },
  { baseDir: options.collection },
);
const { seed, validation, train } = experiment.config;
const set = await openTrainingSet(train.data, {
  baseDir: options.collection,
  cacheDir: options.cache,
  seed,
  validation,
  onWarning: (message) => tell("warning", { message }),
});
tell("opened", { queries: set.queryCount });

let known = { step: -1, groups: [] };
const microBatch = (step, rank) => {
  // As in training: the ranks of a step share its plan.
  if (known.step !== step) known = { step, groups: planStep(set, step, batch * ranks) };
  const share = { rank, worldSize: ranks, microStep: 0, accumulationSteps: 1, queriesPerRank: batch };
  return buildMicroBatch(set, known.groups, share);
};

if (mode === "first") {
  const { passages } = microBatch(0, 0);
  tell("first", { bytes: passages.byteLength });
} else if (mode === "local") {
  const until = performance.now() + options.seconds * 1_000;
  const began = performance.now();
  let step = 0;
  const readBefore = bytesRead();
  for (; performance.now() < until; step += 1) microBatch(step, 0);
  const seconds = (performance.now() - began) / 1_000;
  tell("done", { groups: step * batch, rates: [(step * batch) / seconds], readBytes: bytesRead() - readBefore });
} else await serve();
set.close();

/** Bytes that came from the disk for this process. */
function bytesRead() {
  return Number(/^read_bytes: (\d+)/m.exec(readFileSync("/proc/self/io", "latin1"))?.[1]);
}

/** Replaces what Quarry tells the system about its mappings, for the comparison on a slow disk. */
function overrule({ around, ahead }) {
  const [MADV_RANDOM, MADV_WILLNEED] = [1, 3];
  const { load: loadLibrary } = koffi;
  koffi.load = (...given) => {
    const library = loadLibrary(...given);
    const func = (prototype) => {
      const call = library.func(prototype);
      if (!prototype.includes("madvise")) return call;
      return (at, length, advice) => {
        const isLeftOut = (advice === MADV_RANDOM && around) || (advice === MADV_WILLNEED && !ahead);
        return isLeftOut ? 0 : call(at, length, advice);
      };
    };
    return { func };
  };
}

async function serve() {
  const { openTransport } = await load("pool/transport.js");
  const { microBatchMessage } = await load("training/task.js");
  const rankAt = new Map();
  const transport = await openTransport({
    onMessage: (peer, message) => {
      if (message.type === "hello") rankAt.set(peer, message.rank);
      if (message.type !== "next") return;
      const { step, microStep } = message;
      const { message: answer, frames } = microBatchMessage(microBatch(step, rankAt.get(peer)), step, microStep);
      transport.send(peer, answer, frames);
    },
    onViolation: (_peer, error) => {
      throw error;
    },
  });
  tell("serving", { ticket: transport.ticketPath });
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.once("end", resolve));
  await transport.close();
}
