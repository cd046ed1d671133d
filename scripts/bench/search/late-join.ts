/** Real encoding by one node, and a second one that joins when a third of the work is done. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { prepareSource, textUnits } from "../../../src/data/index.js";
import { biEncoder, defineExperiment, demoModel, source } from "../../../src/index.js";
import { toModelSpec } from "../../../src/pipeline/model-spec.js";
import type { Context } from "../shared/context.js";
import { drawPart } from "./collection.js";
import type { Network } from "./network.js";
import { Cluster } from "./nodes.js";

/** As passages of MS MARCO are, so that the run takes a minute. */
const WORDS = 55;
const SHARE_BEFORE = 1 / 3;
const PER_UNIT = 32;

export async function measureLateJoin(context: Context, network: Network): Promise<void> {
  const count = context.quick ? 480 : 1_920;
  const { passages } = await drawPart(count);
  const [corpus, queries] = [join(context.folder, "late.jsonl"), join(context.folder, "late-queries.jsonl")];
  const short = passages.map(({ _id, title, text }) => {
    const words = `${title} ${text}`.split(/\s+/).slice(0, WORDS).join(" ");
    return JSON.stringify({ _id, text: words });
  });
  await writeFile(corpus, `${short.join("\n")}\n`);
  await writeFile(queries, '{"_id": "q", "text": "unused"}\n');
  const experiment = defineExperiment({
    name: "bench-late",
    model: biEncoder(demoModel, { dtype: "float32" }),
    workers: { count: 0, listen: `tcp://${network.address}:0`, device: "cpu", unitSize: PER_UNIT, batchSize: 16 },
    encode: { data: source({ corpus: "unused" }) },
  });
  const prepared = await prepareSource(
    { kind: "source", corpus, queries },
    { baseDir: context.folder, cacheDir: join(context.folder, "cache"), seed: 0 },
  );
  context.note(`${count} passages by one node, and a second one that joins`);
  const cluster = await Cluster.open(context, network, "run-late", experiment);
  try {
    cluster.start(0);
    await cluster.joined(1);
    const rows = Int32Array.from({ length: count }, (_, row) => row);
    const units = textUnits(prepared.passages, rows, PER_UNIT, "passages");
    const seen = new Set<number>();
    const times: number[] = [];
    const began = performance.now();
    let askedMs = 0;
    await cluster.pool.encode({
      phase: "late",
      model: toModelSpec(experiment),
      side: "passage",
      units,
      onVectors: async (index) => {
        if (seen.has(index)) throw new Error(`Unit ${index} came twice.`);
        seen.add(index);
        times.push(performance.now() - began);
        if (askedMs > 0 || seen.size < units.count * SHARE_BEFORE) return;
        askedMs = performance.now() - began;
        cluster.start(1);
      },
    });
    if (seen.size !== units.count) throw new Error(`${seen.size} of ${units.count} units came.`);
    const late = [...cluster.done].find(([name]) => name.startsWith("node-1"))?.[1] ?? 0;
    const before = rate(times.filter((time) => time <= askedMs));
    const last = times.at(-1) as number;
    // What the last quarter saw: the newcomer has loaded its model by then.
    const after = rate(times.filter((time) => time >= askedMs + (last - askedMs) * 0.75));
    context.tell(
      "real encoding (MiniLM), a second node joins after a third: each unit once",
      `${count} passages in ${(last / 1e3).toFixed(1)} s, ${late} of them by the newcomer; ` +
        `${(before * PER_UNIT).toFixed(0)} passages/s before, ${(after * PER_UNIT).toFixed(0)} in the last quarter`,
      "the newcomer works",
      late > 0,
    );
    context.numbers({ late: { count, byNewcomer: late, times, askedMs } });
  } finally {
    await cluster.close();
    prepared.close();
  }
}

/** Units a second between the first and the last of these moments in milliseconds. */
function rate(times: readonly number[]): number {
  const [first, last] = [times[0] ?? 0, times.at(-1) ?? 0];
  return last > first ? ((times.length - 1) / (last - first)) * 1_000 : 0;
}
