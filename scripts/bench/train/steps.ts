/** Steps a second on equal batches, where computing decides and where the way of the data decides. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { type Context, median } from "../shared/context.js";
import { findGpu } from "../shared/gpu.js";
import { PER_QUERY, writeCollection } from "./collection.js";
import { writeGroups } from "./groups.js";
import type { Training } from "./quarry.js";
import type { Lap, Rival } from "./rival.js";
import { type RivalName, startTraining, TITLES } from "./rivals.js";

const [QUERIES, QUERY_LENGTH, PASSAGE_LENGTH] = [16, 32, 128];
/** Losses of equal steps may differ by this: sums in another order, and another padding. */
const LOSS_TOLERANCE = 1e-3;

/** Words of a passage and of a query, each a token: all texts cut at their limit, or of lengths as passages of the web have. */
const TEXTS = {
  "full length": { passageWords: PASSAGE_LENGTH + 12, queryWords: QUERY_LENGTH - 2 },
  "natural length": { passageWords: 70, queryWords: 8, spread: 0.4 },
};

interface Case {
  readonly name: string;
  readonly model: "real" | "stub";
  readonly rivals: readonly (readonly [RivalName, number])[];
  readonly warmUp: number;
  readonly rounds: number;
  readonly perRound: number;
  readonly queries: number;
  readonly bf16: boolean;
  readonly texts: keyof typeof TEXTS;
}

/** What a case found: each rival's laps, in order of the rounds. */
interface Found {
  readonly labels: readonly string[];
  readonly first: readonly number[];
  readonly laps: readonly (readonly Lap[])[];
}

const OTHERS = [
  ["loop", 0],
  ["sentence-transformers", 0],
  ["trove", 0],
] as const;

/** Where computing decides: Quarry ≥ 0.97 of each. */
export async function measureComputing(context: Context): Promise<void> {
  await compareComputing(context, "full length");
  await compareComputing(context, "natural length");
}

async function compareComputing(context: Context, texts: Case["texts"]): Promise<void> {
  const queries = context.quick ? 4 : QUERIES;
  const found = await race(context, {
    name: `MiniLM, ${texts}`,
    ...{ model: "real", texts },
    rivals: [["quarry", 0], ...OTHERS],
    ...{ warmUp: 1, rounds: context.quick ? 1 : 3, perRound: context.quick ? 1 : 2, queries, bf16: false },
  });
  tellLosses(context, `MiniLM, ${texts}`, found);
  const size = `${queries} × ${PER_QUERY} of ${texts}, at most ${QUERY_LENGTH}/${PASSAGE_LENGTH}, fp32`;
  for (const other of [1, 2, 3]) {
    const { ratio, rates } = compare(found, 0, other);
    const what = `MiniLM, ${size}: Quarry's steps/s / those of ${found.labels[other]}`;
    context.tell(what, `${ratio.toFixed(3)} (${rates})`, "≥ 0.97", ratio >= 0.97);
  }
}

/** Where the way of the data decides: Quarry ≥ 1.2 of the best of the others; and how far it is from no way at all. */
export async function measureFeeding(context: Context): Promise<void> {
  await compareFeeding(context, "full length");
  await compareFeeding(context, "natural length");
}

async function compareFeeding(context: Context, texts: Case["texts"]): Promise<void> {
  const found = await race(context, {
    name: `stub, ${texts}`,
    ...{ model: "stub", texts },
    rivals: [["quarry", 0], ...OTHERS, ["sentence-transformers", 1], ["tokenised-loop", 0]],
    ...{ warmUp: 20, rounds: context.quick ? 2 : 5, perRound: context.quick ? 20 : 100, queries: QUERIES, bf16: false },
  });
  tellLosses(context, `the stub, ${texts}`, found);
  const ratios = [1, 2, 3, 4, 5].map((other) => compare(found, 0, other));
  // The last one is no rival: it has no way of the data at all.
  const least = Math.min(...ratios.slice(0, -1).map(({ ratio }) => ratio));
  for (const [at, { ratio, rates }] of ratios.entries()) {
    const what = `two layers, dimension 32, ${QUERIES} × ${PER_QUERY} of ${texts}: Quarry's steps/s / those of ${found.labels[at + 1]}`;
    const reach = ratio === least ? "≥ 1.2 (the best of them)" : undefined;
    context.tell(what, `${ratio.toFixed(2)} (${rates})`, reach, reach === undefined ? undefined : ratio >= 1.2);
  }
}

/** The same on a GPU, in bfloat16, against sentence-transformers. */
export async function measureGpu(context: Context): Promise<void> {
  const gpu = await findGpu(context);
  if (gpu === null) return context.tell("steps/s on a GPU", "no GPU: not measured");
  const [queries, warmUp, rounds, perRound] = context.quick ? [4, 1, 1, 1] : [128, 20, 5, 50];
  const found = await race(
    { ...context, device: gpu.device },
    {
      name: "MiniLM on a GPU",
      ...{ model: "real", texts: "full length" },
      rivals: [
        ["quarry", 0],
        ["loop", 0],
        ["sentence-transformers", 0],
        ["sentence-transformers", 4],
      ],
      ...{ warmUp, rounds, perRound, queries, bf16: gpu.device === "cuda" },
    },
  );
  for (const other of [1, 2, 3]) {
    const { ratio, rates } = compare(found, 0, other);
    const reach = other > 1 ? "≥ 1.05" : undefined;
    const what = `${gpu.name}, MiniLM, ${queries} × ${PER_QUERY}, bf16: Quarry's steps/s / those of ${found.labels[other]}`;
    context.tell(what, `${ratio.toFixed(3)} (${rates})`, reach, reach === undefined ? undefined : ratio >= 1.05);
  }
}

/** Starts all rivals one after the other, then lets them take turns; a turn is some steps, the order turns around. */
async function race(
  context: Context,
  { name, model, texts, rivals, warmUp, rounds, perRound, queries, bf16 }: Case,
): Promise<Found> {
  const steps = 1 + warmUp + rounds * perRound;
  const training = await prepare(context, { name: `${name}-${queries}`, model, texts, steps, queries, bf16 });
  const groups = join(training.collection, "groups.jsonl");
  await writeGroups(groups, training);
  const labels = rivals.map(([rival, loaders]) =>
    loaders === 0 ? TITLES[rival] : `${TITLES[rival]} with ${loaders} loader process${loaders === 1 ? "" : "es"}`,
  );
  const started: Rival[] = [];
  try {
    const first: number[] = [];
    for (const [at, [rival, loaders]] of rivals.entries()) {
      context.note(`${name}: ${labels[at]} starts`);
      started.push(await startTraining(context, rival, training, groups, loaders));
      first.push((await (started.at(-1) as Rival).first).loss);
    }
    const laps: Lap[][] = rivals.map(() => []);
    for (let round = -1; round < rounds; round += 1) {
      const order = [...started.keys()];
      if (round % 2 === 0) order.reverse();
      for (const at of order) {
        const lap = await (started[at] as Rival).go(round < 0 ? warmUp : perRound);
        (laps[at] as Lap[]).push(lap);
      }
      if (round >= 0) context.note(`${name}: round ${round + 1} of ${rounds}`);
    }
    for (const rival of started.splice(0)) await rival.finish();
    context.numbers({ name, labels, first, laps, threads: training.threads });
    return { labels, first, laps };
  } finally {
    for (const rival of started) await rival.kill();
  }
}

/** A model without dropout and a collection with as many groups as steps need. */
async function prepare(
  context: Context,
  want: Pick<Case, "name" | "model" | "texts" | "queries" | "bf16"> & { steps: number },
): Promise<Training> {
  const folder = join(context.folder, want.name.replaceAll(/[ ,]+/g, "-"));
  const model = await makeModel(context, want.model);
  const passages = want.steps * want.queries * PER_QUERY;
  writeCollection({ folder, passages, ...TEXTS[want.texts], model });
  return {
    ...{ model, collection: folder, cacheDir: join(context.folder, "cache"), queries: want.queries },
    ...{ negatives: PER_QUERY - 1, queryLength: QUERY_LENGTH, passageLength: PASSAGE_LENGTH, steps: want.steps },
    ...{ threads: context.threads, ranks: 1, device: context.device, bf16: want.bf16 },
  };
}

/** Writes a model of models.py into the part's folder, once. */
export async function makeModel(context: Context, kind: "real" | "stub" | "base"): Promise<string> {
  const folder = join(context.folder, `model-${kind}`);
  if (existsSync(folder)) return folder;
  const script = join(import.meta.dirname, "models.py");
  const { executable, env } = context.python;
  await execa(executable, [script, kind, folder], { env: { ...env }, extendEnv: false });
  return folder;
}

/** Median over the rounds of how much faster one is than another, and both median rates. */
function compare({ laps }: Found, one: number, other: number): { ratio: number; rates: string } {
  const timed = (at: number): number[] =>
    (laps[at] as readonly Lap[])
      .slice(1)
      .map(({ seconds }) => seconds.reduce((sum, each) => sum + each, 0) / seconds.length);
  const [own, others] = [timed(one), timed(other)];
  const ratio = median(others.map((value, round) => value / (own[round] as number)));
  const rate = (seconds: readonly number[]): string => (1 / median(seconds)).toFixed(median(seconds) > 1 ? 3 : 1);
  return { ratio, rates: `${rate(own)}, ${rate(others)} steps/s` };
}

/** Equal losses, step by step, show that the rivals do equal work. */
function tellLosses(context: Context, name: string, { labels, first, laps }: Found): void {
  const curves = first.map((loss, at) => [loss, ...(laps[at] as readonly Lap[]).flatMap((lap) => lap.losses)]);
  const [own = [], ...others] = curves;
  const largest = others.map((curve) => Math.max(...curve.map((loss, step) => Math.abs(loss - (own[step] as number)))));
  const told = largest.map((value, at) => `${labels[at + 1]} ${value.toExponential(1)}`).join(", ");
  const isEqual = largest.every((value) => value <= LOSS_TOLERANCE);
  const range = `${(own[0] as number).toFixed(3)} → ${(own.at(-1) as number).toFixed(3)}`;
  context.tell(
    `losses of ${own.length} steps of ${name} against Quarry's, largest difference`,
    `${told}; ${range}`,
    `≤ ${LOSS_TOLERANCE}`,
    isEqual,
  );
}
