/**
 * What the orchestrator pays for a unit, and from it how many GPUs one orchestrator feeds.
 *
 * Its workers have no model at all, so they ask as fast as they can. CPU time is the whole process's: event loop,
 * ZeroMQ's threads, checksums, gathering of texts. How many GPUs that is rests on what a GPU encodes, so it is told
 * for two assumed rates.
 */
import { join } from "node:path";
import type { PreparedSource } from "../../../src/data/types.js";
import { toModelSpec } from "../../../src/pipeline/model-spec.js";
import { openPool } from "../../../src/pool/pool.js";
import type { WorkerPool } from "../../../src/pool/types.js";
import { processStat } from "../../../src/process-stat.js";
import { EventStream } from "../../../src/report/events.js";
import { type Context, median } from "../shared/context.js";
import { counted, delayedModel, makeCorpus, searchJob, UNIT_SIZE, unitsOf } from "./simulated.js";

/** Passages of 55 words a second on one GPU: a base model in bf16, and MiniLM. */
const ASSUMED_RATES = [2_000, 20_000] as const;
const QUERIES = 1_024;
const TOP_K = 1_000;

interface Paid {
  readonly cpuSeconds: number;
  /** The main thread's share, which runs the event loop: one thread, so this is what ends first. */
  readonly loopSeconds: number;
  readonly bytes: number;
  readonly units: number;
}

export async function measureFeeding(context: Context): Promise<void> {
  const [unitCount, rounds] = context.quick ? [30, 1] : [800, 3];
  const experiment = delayedModel(0, { count: Math.max(1, Math.min(2, context.threads)), threads: 1 });
  const corpus = await makeCorpus(context.folder, unitCount * UNIT_SIZE);
  const pool = await openPool({
    workers: experiment.config.workers,
    python: context.python,
    logDir: join(context.folder, "logs"),
    events: new EventStream(),
  });
  try {
    // Model, code and sockets are warm before the first round.
    await payForEncoding(pool, experiment, corpus, Math.min(20, unitCount));
    const paid: Record<string, Paid[]> = { encode: [], search: [] };
    for (let round = 0; round < rounds; round += 1) {
      context.note(`feeding, round ${round + 1} of ${rounds}`);
      paid.encode?.push(await payForEncoding(pool, experiment, corpus, unitCount));
      paid.search?.push(
        await payForSearch(pool, experiment, corpus, unitCount, join(context.folder, `snapshots-${round}`)),
      );
    }
    for (const [kind, all] of Object.entries(paid)) tell(context, kind, all, UNIT_SIZE);
    context.numbers({ paid, unitCount });
  } finally {
    await pool.close();
    corpus.close();
  }
}

type Experiment = ReturnType<typeof delayedModel>;

async function payForEncoding(
  pool: WorkerPool,
  experiment: Experiment,
  corpus: PreparedSource,
  unitCount: number,
): Promise<Paid> {
  const { units, bytes } = counted(unitsOf(corpus, unitCount));
  let back = 0;
  return paying(
    unitCount,
    () => bytes() + back,
    async () => {
      await pool.encode({
        phase: "bench",
        model: toModelSpec(experiment),
        side: "passage",
        units,
        onVectors: async (_, vectors) => {
          back += vectors.bytes.byteLength;
        },
      });
    },
  );
}

async function payForSearch(
  pool: WorkerPool,
  experiment: Experiment,
  corpus: PreparedSource,
  unitCount: number,
  folder: string,
): Promise<Paid> {
  const { units, bytes } = counted(unitsOf(corpus, unitCount));
  const { job, snapshots } = await searchJob({ experiment, units, folder, queryCount: QUERIES, topK: TOP_K });
  return paying(
    unitCount,
    () => bytes() + snapshots().bytes,
    () => pool.search(job),
  );
}

async function paying(units: number, bytes: () => number, work: () => Promise<unknown>): Promise<Paid> {
  const [cpu, loop] = [process.cpuUsage(), mainThreadSeconds()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return { cpuSeconds: (user + system) / 1e6, loopSeconds: mainThreadSeconds() - loop, bytes: bytes(), units };
}

/** CPU time of the thread that runs the event loop, whose ticks are hundredths of a second. */
export function mainThreadSeconds(): number {
  return (processStat(`self/task/${process.pid}`)?.cpuTicks ?? 0) / 100;
}

function tell(context: Context, kind: string, all: readonly Paid[], unitSize: number): void {
  const each = (of: (paid: Paid) => number): number => median(all.map((paid) => of(paid) / paid.units));
  const [cpu, loop, bytes] = [
    each((paid) => paid.cpuSeconds),
    each((paid) => paid.loopSeconds),
    each((paid) => paid.bytes),
  ];
  const what = kind === "search" ? `search, ${QUERIES} queries, k = ${TOP_K}` : "encode, vectors in float32";
  context.tell(
    `${what}: what a unit of ${unitSize} passages costs the orchestrator`,
    `${(cpu * 1e3).toFixed(2)} ms CPU, of them ${(loop * 1e3).toFixed(2)} ms in the event loop; ${(bytes / 1e3).toFixed(0)} KB`,
  );
  const unitsPerSecond = 1 / loop;
  const cores = cpu / loop;
  const gpus = ASSUMED_RATES.map((rate) => {
    const count = Math.floor((unitsPerSecond * unitSize) / rate);
    return `${count.toLocaleString("en-US")} GPUs at ${rate.toLocaleString("en-US")} passages/s`;
  });
  const network = ((bytes * unitsPerSecond) / 1e9).toFixed(2);
  context.tell(
    `${what}: what one orchestrator feeds when its event loop has a core to itself`,
    `${Math.round(unitsPerSecond * unitSize).toLocaleString("en-US")} passages/s (${cores.toFixed(1)} cores in all, ${network} GB/s): ${gpus.join(", ")}`,
  );
}
