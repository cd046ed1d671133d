/**
 * Encoding, search and scaling against their peers, each pair measured in the same run.
 *
 * Usage: npm run bench:search [-- --only encode,topk,score,scaling,cpu,stored,crossover,gpu] and what shared/command.ts takes.
 */
import { join } from "node:path";
import { ROOT, runBench } from "../shared/command.js";
import { measureEncoding } from "./encode.js";
import { measureGpuEncoding } from "./encode-gpu.js";
import { measureFeeding } from "./feeding.js";
import { runPythonPart, writeCrossoverPage } from "./python-part.js";
import { measureScaling } from "./scaling.js";
import { measureStored } from "./stored.js";

await runBench({
  section: {
    command: "bench:search",
    heading: "Encoding and search",
    titles: {
      encode: "Encoding",
      topk: "Top-k alone, given scores",
      score: "Scoring and top-k together",
      scaling: "Scaling over nodes",
      cpu: "What one orchestrator can feed",
      stored: "The way of stored vectors",
      crossover: "When an index pays",
      gpu: "Encoding on a GPU",
    },
  },
  parts: {
    encode: measureEncoding,
    topk: (context) => runPythonPart(context, "topk.py"),
    score: (context) => runPythonPart(context, "score.py"),
    scaling: measureScaling,
    cpu: measureFeeding,
    stored: measureStored,
    crossover: (context) => runPythonPart(context, "crossover.py"),
    gpu: measureGpuEncoding,
  },
  extras: ["demo", "faiss", "test"],
  writeMore: async (record, out) => {
    if (record.crossover === undefined) return [];
    await writeCrossoverPage(out, join(ROOT, "docs"));
    return [join(ROOT, "docs/crossover.md")];
  },
});
