/** A simulated corpus and a simulated model: what scaling and feeding are measured with. */
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { prepareSource, textUnits } from "../../../src/data/index.js";
import type { PreparedSource } from "../../../src/data/types.js";
import { biEncoder, defineExperiment, demoModel, type Experiment, source } from "../../../src/index.js";
import { toModelSpec } from "../../../src/pipeline/model-spec.js";
import { SnapshotStore } from "../../../src/pipeline/snapshots.js";
import type { SearchJob, UnitList } from "../../../src/pool/types.js";

const HERE = dirname(fileURLToPath(import.meta.url));
/** A passage of MS MARCO has 55 words and 333 bytes. */
const WORDS = 55;
const DIMENSION = 384;
/** Passages in a unit. */
export const UNIT_SIZE = 256;

/** Passages whose words mean nothing: as many bytes as real ones. */
export async function makeCorpus(folder: string, count: number): Promise<PreparedSource> {
  const [corpus, queries] = [join(folder, `corpus-${count}.jsonl`), join(folder, "queries.jsonl")];
  const lines = Array.from({ length: count }, (_, row) => {
    const words = Array.from({ length: WORDS }, (_, at) =>
      ((row * 7_919 + at * 104_729) % 99_991).toString(36).padStart(5, "o"),
    );
    return JSON.stringify({ _id: String(row), text: words.join(" ") });
  });
  await writeFile(corpus, `${lines.join("\n")}\n`);
  await writeFile(queries, '{"_id": "q", "text": "unused"}\n');
  return prepareSource(
    { kind: "source", corpus, queries },
    { baseDir: folder, cacheDir: join(folder, "cache"), seed: 0 },
  );
}

declare module "../../../src/index.js" {
  interface EncoderOptions {
    /** fixed_delay.py */
    fixed_delay: { seconds: number };
  }
}

/** An experiment whose encoder sleeps `seconds` for each unit. */
export function delayedModel(seconds: number, workers: Readonly<Record<string, unknown>>): Experiment {
  return defineExperiment({
    name: "bench-delay",
    model: biEncoder(demoModel, {
      dtype: "float32",
      plugins: [join(HERE, "fixed_delay.py")],
      encoder: "fixed_delay",
      encoderOptions: { seconds },
    }),
    // One batch for each unit: one sleep.
    workers: { unitSize: UNIT_SIZE, batchSize: UNIT_SIZE, device: "cpu", ...workers },
    encode: { data: source({ corpus: "unused" }) },
  });
}

/** Counts the bytes of the units that go out, and notes when the first one does. */
export function counted(units: UnitList): {
  readonly units: UnitList;
  readonly bytes: () => number;
  /** As performance.now() tells it; 0 before. */
  readonly firstMs: () => number;
} {
  let [bytes, firstMs] = [0, 0];
  const frame = (index: number): Uint8Array => {
    const made = units.frame(index);
    firstMs ||= performance.now();
    bytes += made.byteLength;
    return made;
  };
  return {
    units: {
      count: units.count,
      id: (index) => units.id(index),
      rowCount: (index) => units.rowCount(index),
      rows: (index) => units.rows(index),
      frame,
    },
    bytes: () => bytes,
    firstMs: () => firstMs,
  };
}

/** The first `unitCount` units of a corpus. */
export function unitsOf(corpus: PreparedSource, unitCount: number): UnitList {
  const rows = Int32Array.from({ length: Math.min(unitCount * UNIT_SIZE, corpus.passages.rowCount) }, (_, row) => row);
  return textUnits(corpus.passages, rows, UNIT_SIZE, "passages");
}

/** A search with random queries whose snapshots go to the disk as those of an evaluation do. */
export async function searchJob(options: {
  readonly experiment: Experiment;
  readonly units: UnitList;
  readonly folder: string;
  readonly queryCount: number;
  readonly topK: number;
}): Promise<{ readonly job: SearchJob; readonly snapshots: () => { readonly count: number; readonly bytes: number } }> {
  const { experiment, units, folder, queryCount, topK } = options;
  const queries = new Float32Array(queryCount * DIMENSION);
  for (let at = 0; at < queries.length; at += 1) queries[at] = Math.sin(at * 12.9898) / Math.sqrt(DIMENSION / 2);
  const identity = { key: "bench", queryCount, topK, trackedCount: 0 };
  const store = await SnapshotStore.open(folder, identity, new Int32Array(0));
  let [count, bytes] = [0, 0];
  const job: SearchJob = {
    phase: "bench",
    model: toModelSpec(experiment),
    units,
    similarity: "cosine",
    isNormalizing: false,
    topK,
    queries,
    queryCount,
    dimension: DIMENSION,
    onSnapshot: async (snapshot) => {
      count += 1;
      bytes += snapshot.scores.byteLength + snapshot.rows.byteLength;
      await store.put(snapshot);
    },
  };
  return { job, snapshots: () => ({ count, bytes }) };
}
