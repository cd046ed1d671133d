/**
 * Encoding through Quarry against a bare transformers loop over the same batches and against sentence-transformers.
 *
 * Rounds alternate between the three, so that a machine whose speed drifts slows all of them; loading is not counted.
 * Usage: npm run bench [-- --passages 5000 --rounds 5 --threads 2]
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { execa } from "execa";
import { prepareSource, textUnits } from "../../src/data/index.js";
import { biEncoder, defineExperiment, demoModel, source } from "../../src/index.js";
import { toModelSpec } from "../../src/pipeline/model-spec.js";
import { openPool } from "../../src/pool/pool.js";
import { findPython } from "../../src/python/environment.js";
import { EventStream } from "../../src/report/events.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const WORDS = 55;

const { values } = parseArgs({
  options: {
    passages: { type: "string", default: "5000" },
    rounds: { type: "string", default: "5" },
    threads: { type: "string", default: String(availableParallelism()) },
    batch: { type: "string", default: "16" },
  },
});
const passageCount = Number(values.passages);
const rounds = Number(values.rounds);
const perRound = Math.floor(passageCount / rounds);
const batch = Number(values.batch);

/** Passages of about 55 words, as in MS MARCO: SciFact's abstracts, cut. */
async function readTexts(): Promise<string[]> {
  const data = process.env.QUARRY_TEST_DATA ?? join(ROOT, "../shared/data");
  const lines = (await readFile(join(data, "scifact/corpus.jsonl"), "utf8")).trim().split("\n");
  const texts = lines.map((line) => {
    const { title, text } = JSON.parse(line) as { title: string; text: string };
    return `${title} ${text}`.split(/\s+/).slice(0, WORDS).join(" ");
  });
  return Array.from({ length: perRound * rounds }, (_, at) => texts[at % texts.length] as string);
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[numbers.length >> 1] as number;

const folder = await mkdtemp(join(tmpdir(), "quarry-bench-"));
const texts = await readTexts();
const python = await findPython({ extras: ["demo", "test"] });
const peers = execa(python.executable, [join(ROOT, "scripts/bench/peers.py"), values.threads], {
  env: { ...python.env, HF_HUB_OFFLINE: "1", OMP_NUM_THREADS: values.threads },
  extendEnv: false,
  stderr: "inherit",
  buffer: false,
});
const answers = createInterface({ input: peers.stdout })[Symbol.asyncIterator]();
async function peer(request: Record<string, unknown>): Promise<number> {
  peers.stdin.write(`${JSON.stringify(request)}\n`);
  const answer = await answers.next();
  return (JSON.parse(answer.value as string) as { seconds: number }).seconds;
}

const experiment = defineExperiment({
  name: "bench-encode",
  model: biEncoder(demoModel, { dtype: "float32" }),
  workers: { count: 1, threads: Number(values.threads), batchSize: batch },
  encode: { data: source({ corpus: "unused" }) },
});
const pool = await openPool({
  workers: experiment.config.workers,
  python,
  logDir: join(folder, "logs"),
  events: new EventStream(),
});
const model = toModelSpec(experiment);
try {
  const seconds: Record<string, number[]> = { quarry: [], loop: [], "sentence-transformers": [] };
  const record = (name: string, value: number): void => void seconds[name]?.push(value);
  const first = join(folder, "probe.json");
  await writeFile(first, JSON.stringify(texts.slice(0, 400)));
  let best = { size: 0, seconds: Number.POSITIVE_INFINITY };
  await peer({ peer: "sentence-transformers", texts: first, batch: 8 });
  for (const size of [4, 8, 16, 32, 64]) {
    const took = await peer({ peer: "sentence-transformers", texts: first, batch: size });
    if (took < best.seconds) best = { size, seconds: took };
  }
  for (let round = 0; round < rounds; round++) {
    const part = texts.slice(round * perRound, (round + 1) * perRound);
    const json = join(folder, `texts-${round}.json`);
    await writeFile(json, JSON.stringify(part));
    const corpus = join(folder, `corpus-${round}`);
    await writeFile(`${corpus}.jsonl`, part.map((text, row) => JSON.stringify({ _id: String(row), text })).join("\n"));
    await writeFile(`${corpus}-queries.jsonl`, '{"_id": "q", "text": "unused"}\n');
    const prepared = await prepareSource(
      { kind: "source", corpus: `${corpus}.jsonl`, queries: `${corpus}-queries.jsonl` },
      { baseDir: folder, cacheDir: join(folder, "cache"), seed: 0 },
    );
    const rows = Int32Array.from({ length: perRound }, (_, row) => row);
    const outcome = await pool.encode({
      phase: "bench",
      model,
      side: "passage",
      units: textUnits(prepared.passages, rows, experiment.config.workers.unitSize, "passages"),
      onVectors: async () => {},
    });
    record("quarry", outcome.seconds);
    record("loop", await peer({ peer: "loop", texts: json, batch, unit: experiment.config.workers.unitSize }));
    record("sentence-transformers", await peer({ peer: "sentence-transformers", texts: json, batch: best.size }));
    prepared.close();
  }
  console.log(`${perRound * rounds} passages of ${WORDS} words, ${values.threads} threads, batch ${batch}, fp32, CPU`);
  for (const [name, list] of Object.entries(seconds)) {
    const detail = name === "sentence-transformers" ? ` (its best batch: ${best.size})` : "";
    const ratios = list.map((value, round) => value / (seconds.quarry?.[round] as number));
    console.log(
      `${name.padEnd(22)} ${(perRound / median(list)).toFixed(1).padStart(7)} passages/s   quarry / ${name}: ${median(ratios).toFixed(3)}${detail}`,
    );
  }
} finally {
  await pool.close();
  peers.stdin.end();
  await peers;
  await rm(folder, { recursive: true });
}
