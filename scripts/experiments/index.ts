/**
 * The paper's three first experiments in small: nDCG@10 of all-MiniLM-L6-v2 on SciFact and NFCorpus before training, after
 * training with in-batch negatives, with mined ones, and with graded labels under another loss.
 *
 * Usage: npm run experiments -- --data <folder with scifact and nfcorpus> [--only nfcorpus] [--seeds 3] [--loss ws_contrastive]
 *   [--folder runs/experiments] [--steps 40] [--write] [--quick]
 * It may be ended at any moment, by Ctrl-C or by a kill: the same command goes on with the step it was at, and table.md in
 * the folder holds what there is. NFCorpus is trained with --seeds seeds, SciFact with one. --write puts the table into
 * docs/experiments-paper.md.
 */
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { attachReporter, EventStream, QuarryError } from "../../src/index.js";
import { runCell } from "./cells.js";
import { COLLECTIONS, type Collection, type Settings, VARIANTS } from "./settings.js";
import { addResult, readResults, toDetails, toTable } from "./table.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

const { values } = parseArgs({
  options: {
    data: { type: "string", default: process.env.QUARRY_TEST_DATA ?? join(ROOT, "../shared/data") },
    only: { type: "string", default: COLLECTIONS.join(",") },
    seeds: { type: "string", default: "3" },
    loss: { type: "string", default: "ws_contrastive" },
    folder: { type: "string", default: join(ROOT, "runs/experiments") },
    steps: { type: "string", default: "40" },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});

const settings: Settings = {
  ...{ steps: values.quick ? 2 : Number(values.steps), queries: values.quick ? 4 : 16, learningRate: 5e-5 },
  ...{ temperature: 0.05, queryLength: 64, passageLength: values.quick ? 32 : 128 },
  ...{ loss: values.loss, isBf16: true },
};
const folder = resolve(values.folder);
const [resultsPath, tablePath] = [join(folder, "results.jsonl"), join(folder, "table.md")];
const collections = values.only.split(",").map(toCollection);

function toCollection(name: string): Collection {
  const found = COLLECTIONS.find((each) => each === name);
  if (found === undefined) throw new Error(`There is no collection ${name}, only ${COLLECTIONS.join(" and ")}.`);
  if (!existsSync(join(values.data, name, "corpus.jsonl"))) {
    throw new Error(`${join(values.data, name)} is missing; --data names the folder that holds it in BEIR layout.`);
  }
  return found;
}

/** Results of other settings must not stand in one table with these. */
async function keepSettings(): Promise<void> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, "settings.json");
  const text = `${JSON.stringify(settings, null, 1)}\n`;
  if (!existsSync(path)) return writeFile(path, text);
  if ((await readFile(path, "utf8")) === text) return;
  throw new Error(`${folder} holds results of other settings: name another --folder.`);
}

const controller = new AbortController();
const events = new EventStream();
const stop = (): void => controller.abort();
process.once("SIGINT", stop);
process.once("SIGTERM", stop);

await keepSettings();
const reporter = await attachReporter(events, { kind: "plain", stdout: process.stderr, onInterrupt: stop });
try {
  // Seed by seed, so that an early end leaves whole rows.
  for (const collection of collections) {
    const seeds = collection === "nfcorpus" ? Number(values.seeds) : 1;
    for (let seed = 1; seed <= seeds; seed += 1) {
      for (const variant of VARIANTS) {
        const done = await readResults(resultsPath);
        const isSame = (each: { collection: string; variant: string; seed: number }): boolean =>
          each.collection === collection && each.variant === variant && each.seed === seed;
        // Untrained, the model is the same with every seed.
        if (done.some(isSame) || (variant === "before" && seed > 1)) continue;
        const began = performance.now();
        const place = {
          data: join(resolve(values.data), collection),
          folder,
          settings,
          events,
          signal: controller.signal,
        };
        const { values: found } = await runCell(place, collection, variant, seed);
        const [nDCG, recall] = [found["nDCG@10"] as number, found["R@100"] as number];
        const seconds = (performance.now() - began) / 1_000;
        await addResult(resultsPath, { collection, variant, seed, nDCG, recall, seconds });
        await writeFile(tablePath, `${toTable(await readResults(resultsPath), settings)}\n`);
      }
    }
  }
} catch (thrown) {
  if (!(thrown instanceof QuarryError) || thrown.code !== "INTERRUPTED") throw thrown;
  console.error("Stopped; the same command goes on from here.");
  process.exitCode = 130;
} finally {
  await reporter.close();
}
const results = await readResults(resultsPath);
console.log(toTable(results, settings));
if (values.write && process.exitCode === undefined) await writePage();

async function writePage(): Promise<void> {
  const processor = cpus()[0]?.model.replace(/\s+/g, " ").trim() ?? "an unknown processor";
  const { steps, queries, learningRate, temperature, queryLength, passageLength, isBf16 } = settings;
  const seconds = results.reduce((sum, each) => sum + each.seconds, 0);
  const page = [
    "# The paper's first experiments, in small",
    "",
    `\`npm run experiments -- --data <folder> --loss ${settings.loss} --seeds ${values.seeds} --write\` on ${cpus().length} cores of ${processor}: ` +
      `${Math.round(seconds / 60)} minutes in all. all-MiniLM-L6-v2, ${steps} steps of ${queries} queries, learning rate ${learningRate}, ` +
      `temperature ${temperature}, queries of at most ${queryLength} and passages of at most ${passageLength} tokens, ` +
      `${isBf16 ? "bfloat16" : "float32"}; seeds 1 to ${values.seeds} on NFCorpus, 1 on SciFact. The whole test split over the whole corpus.`,
    "",
    toTable(results, settings),
    "",
    "- **In-batch negatives**: each query with one judged passage; the other passages of the batch are its negatives.",
    "- **Mined negatives**: one more passage for each query, drawn anew in each epoch from those that the untrained model ranks 6th to 50th among the unjudged ones.",
    "- **Graded labels**: three passages for each query, one judged (grade 3), one of the two best unjudged ones, which nobody has looked at (1), and a mined negative (0).",
    "",
    "With one seed, differences of a point are chance; the range over seeds says how much.",
    "",
    "## Every run",
    "",
    toDetails(results),
    "",
    "The script may be ended at any moment and goes on where it was; passages of the untrained model are encoded once, for its evaluation and for mining.",
    "",
  ];
  await writeFile(join(ROOT, "docs/experiments-paper.md"), page.join("\n"));
}
