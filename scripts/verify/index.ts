/**
 * Checks on whole real collections, too long for `npm test`: figures against published ones and against independent code.
 *
 * Every step is a Quarry run or keeps its files, so the command goes on where it was interrupted. Writes docs/verify.md.
 * Usage: npm run verify [-- --only scifact]
 */
import { access, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { execa } from "execa";
import {
  attachReporter,
  biEncoder,
  binary,
  defineExperiment,
  demoModel,
  EventStream,
  encode,
  evaluate,
  run,
  source,
} from "../../src/index.js";
import { findPython } from "../../src/python/environment.js";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const RUNS = join(ROOT, "runs/verify");
const DATA = process.env.QUARRY_TEST_DATA ?? join(ROOT, "../shared/data");
const PUBLISHED: Readonly<Record<string, number>> = { nfcorpus: 0.316, scifact: 0.645 };

interface Check {
  readonly what: string;
  readonly found: string;
  readonly wanted: string;
  readonly isMet: boolean;
}

const { values } = parseArgs({ options: { only: { type: "string" } } });
const python = await findPython({ extras: ["demo", "test"] });
const events = new EventStream();
const reporter = await attachReporter(events, { kind: "plain" });
const checks: Check[] = [];
const check = (what: string, found: string, wanted: string, isMet: boolean): void => {
  checks.push({ what, found, wanted, isMet });
  console.log(`${isMet ? "met    " : "NOT MET"} ${what}: ${found} (wanted ${wanted})`);
};

async function reference(...args: string[]): Promise<string> {
  const { stdout } = await execa(python.executable, [join(ROOT, "scripts/verify/reference.py"), ...args], {
    env: { ...python.env, HF_HUB_OFFLINE: "1" },
    extendEnv: false,
    stderr: "inherit",
  });
  return stdout.trim().split("\n").at(-1) ?? "";
}

interface Comparison {
  readonly largestVectorDifference: number;
  readonly metrics: Readonly<Record<string, number>>;
  readonly rescored: Readonly<Record<string, number>>;
  readonly sameVectors: Readonly<Record<string, number>>;
  readonly reference: Readonly<Record<string, number>>;
  readonly rankingsThatDiffer: number;
  readonly largestGapOfSwapped: number;
  readonly queriesWithOtherMeasures: number;
  readonly queryCount: number;
}

async function verifyCollection(name: string): Promise<void> {
  const folder = join(DATA, name);
  const data = source({ corpus: folder, qrels: join(folder, "qrels/test.tsv") });
  const base = {
    model: biEncoder(demoModel, { dtype: "float32" }),
    workers: { count: 1 },
    cacheDir: join(RUNS, "cache"),
  };
  const evaluated = await evaluate(
    defineExperiment({
      ...base,
      name: `verify-${name}`,
      runDir: join(RUNS, name),
      evaluate: { data, measures: ["nDCG@10", "R@100", "AP@100"] },
    }),
    { events },
  );
  // From the store that the evaluation has filled: the very vectors that it searched.
  const vectorsOf = async (side: "passage" | "query"): Promise<string> => {
    const own = { name: `verify-${name}-${side}`, runDir: join(RUNS, `${name}-${side}`), encode: { data, side } };
    const encoded = await encode(defineExperiment({ ...base, ...own }), { events });
    return encoded.files.vectors as string;
  };
  const [vectors, queries] = [await vectorsOf("passage"), await vectorsOf("query")];
  await reference("encode", "--collection", folder, "--out", join(RUNS, `${name}-reference`));
  const metrics = join(RUNS, name, "measured.json");
  await writeFile(metrics, JSON.stringify(evaluated.metrics.base));
  const found = JSON.parse(
    await reference(
      ...["compare", "--collection", folder, "--reference", join(RUNS, `${name}-reference`)],
      ...["--vectors", vectors, "--query-vectors", queries],
      ...["--run", evaluated.files["run.base"] as string, "--metrics", metrics],
    ),
  ) as Comparison;
  const ndcg = evaluated.metrics.base?.["nDCG@10"] ?? Number.NaN;
  const published = PUBLISHED[name] as number;
  const equal = (left: Readonly<Record<string, number>>, right: Readonly<Record<string, number>>): boolean =>
    Object.entries(left).every(([key, value]) => Math.abs(value - (right[key] ?? Number.NaN)) < 1e-12);
  check(`${name}: nDCG@10`, ndcg.toFixed(5), `${published} ± 0.003`, Math.abs(ndcg - published) <= 0.003);
  check(
    `${name}: largest difference to sentence-transformers' vectors`,
    found.largestVectorDifference.toExponential(2),
    "≤ 1e-5",
    found.largestVectorDifference <= 1e-5,
  );
  check(
    `${name}: the run file scored again`,
    JSON.stringify(found.rescored),
    "metrics.json exactly",
    equal(found.metrics, found.rescored),
  );
  check(
    `${name}: brute force over the same saved vectors`,
    JSON.stringify(found.sameVectors),
    "metrics.json exactly",
    equal(found.metrics, found.sameVectors),
  );
  check(
    `${name}: rankings that differ from sentence-transformers' end to end`,
    `${found.rankingsThatDiffer} of ${found.queryCount}, largest score gap of exchanged passages ${found.largestGapOfSwapped.toExponential(2)}; ${found.queriesWithOtherMeasures} with another measure`,
    "gap < 1e-6",
    found.largestGapOfSwapped < 1e-6,
  );
}

async function verifyTraining(): Promise<void> {
  const folder = join(DATA, "scifact");
  const result = await run(
    defineExperiment({
      name: "verify-scifact-train",
      model: biEncoder(demoModel, { queryMaxLength: 64, passageMaxLength: 192, dtype: "float32" }),
      runDir: join(RUNS, "scifact-train"),
      cacheDir: join(RUNS, "cache"),
      steps: ["evaluate", "train", "evaluate"],
      train: {
        data: binary({ positives: source({ corpus: folder, qrels: join(folder, "qrels/train.tsv") }) }),
        globalBatchSize: 32,
        args: { maxSteps: 75, learningRate: 5e-5, warmupSteps: 8, saveSteps: 25 },
      },
      evaluate: { data: source({ corpus: folder, qrels: join(folder, "qrels/test.tsv") }) },
      workers: { count: 1 },
    }),
    { events },
  );
  const [before, after] = Object.values(result.metrics).map((found) => found["nDCG@10"] ?? Number.NaN);
  check(
    "scifact: nDCG@10 before and after 75 steps of 32 pairs (passages of 192 tokens)",
    `${before?.toFixed(4)} → ${after?.toFixed(4)}`,
    "a gain",
    (after ?? 0) > (before ?? 1),
  );
}

await access(DATA).catch(() => {
  throw new Error(
    `${DATA} is missing; set QUARRY_TEST_DATA to a folder that holds scifact and nfcorpus in BEIR layout`,
  );
});
for (const name of Object.keys(PUBLISHED)) if ((values.only ?? name) === name) await verifyCollection(name);
if ((values.only ?? "train") === "train") await verifyTraining();
await reporter.close();
if (values.only === undefined) {
  const rows = checks.map(
    ({ what, found, wanted, isMet }) => `| ${what} | ${found} | ${wanted} | ${isMet ? "yes" : "no"} |`,
  );
  const processor = cpus()[0]?.model ?? "an unknown processor";
  await writeFile(
    join(ROOT, "docs/verify.md"),
    [
      "# Checks on whole collections",
      "",
      `Written by \`npm run verify\` on ${cpus().length} cores of ${processor}, all-MiniLM-L6-v2, float32.`,
      "",
      "| check | found | wanted | met |",
      "|---|---|---|---|",
      ...rows,
      "",
      "One worker against three, also with a kill, is tried in test/fault/search.test.ts; loss curves of one and two ranks,",
      "and after kills, in test/integration/training.test.ts and test/fault/training.test.ts.",
      "",
    ].join("\n"),
  );
}
process.exitCode = checks.every(({ isMet }) => isMet) ? 0 : 1;
