/**
 * Training against its peers: steps a second, start, memory of several ranks and of a step in pieces, a slow disk, a GPU.
 *
 * Usage: npm run bench:train [-- --only compute,feed,start,memory,gradcache,disk,gpu] and what shared/command.ts takes.
 */
import { runBench } from "../shared/command.js";
import { measureDisk } from "./disk.js";
import { measureGradCache } from "./gradcache.js";
import { measureMemory } from "./memory.js";
import { measureStart } from "./start.js";
import { measureComputing, measureFeeding, measureGpu } from "./steps.js";

await runBench({
  section: {
    command: "bench:train",
    heading: "Training",
    titles: {
      compute: "Steps a second where computing decides",
      feed: "Steps a second where the way of the data decides",
      start: "From the start of the process to the first step",
      memory: "Memory of several ranks",
      gradcache: "Memory of a step in pieces (GradCache)",
      disk: "Texts from a slow disk",
      gpu: "On a GPU",
    },
  },
  parts: {
    compute: measureComputing,
    feed: measureFeeding,
    start: measureStart,
    memory: measureMemory,
    gradcache: measureGradCache,
    disk: measureDisk,
    gpu: measureGpu,
  },
  extras: ["demo", "test"],
});
