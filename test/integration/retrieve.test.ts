/** Tracked pairs and tiles of queries change nothing about what is found, with the store and without. */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { prepareSource } from "../../src/data/index.js";
import type { PreparedSource } from "../../src/data/types.js";
import { biEncoder, defineExperiment, source } from "../../src/experiment/define.js";
import { RunContext } from "../../src/pipeline/context.js";
import { type Retrieval, retrieve } from "../../src/pipeline/retrieve.js";
import { BASE_MODEL } from "../../src/pipeline/step.js";
import { EventStream } from "../../src/report/events.js";
import { openRunDir } from "../../src/rundir/directory.js";
import { openWorkplace, type Workplace } from "../e2e/harness.js";

let place: Workplace;
let prepared: PreparedSource;

beforeAll(async () => {
  place = await openWorkplace({ passages: 300, queries: 12, isEachDifferent: true });
}, 120_000);
afterAll(async () => {
  prepared?.close();
  await place.remove();
});

async function inContext<T>(name: string, isStored: boolean, work: (context: RunContext) => Promise<T>): Promise<T> {
  const data = source({ corpus: place.collection, qrels: join(place.collection, "qrels/test.tsv") });
  const experiment = defineExperiment({
    name,
    model: biEncoder(place.model, { dtype: "float32" }),
    evaluate: { data },
    embeddings: { store: isStored },
    workers: { count: 1, threads: 1, unitSize: 32, batchSize: 8, device: "cpu" },
    cacheDir: join(place.folder, "cache"),
  });
  const path = join(place.folder, "runs", name);
  const runDir = await openRunDir({ path, config: experiment.config, bound: () => [] });
  const context = new RunContext(experiment, runDir, new EventStream(), new AbortController().signal);
  try {
    prepared ??= await prepareSource(experiment.config.evaluate?.data as never, context.dataContext());
    return await work(context);
  } finally {
    await context.closePool();
    await runDir.close();
    await rm(path, { recursive: true, force: true });
  }
}

/** The score of a passage in a list that holds all of them. */
function scoreIn({ ranked }: Retrieval, query: number, row: number): number | undefined {
  const rows = ranked.rows.subarray(query * ranked.topK, (query + 1) * ranked.topK);
  const at = rows.indexOf(row);
  return at < 0 ? undefined : ranked.scores[query * ranked.topK + at];
}

test.each([true, false])(
  "store: %s",
  async (isStored) => {
    const name = isStored ? "stored" : "streaming";
    await inContext(name, isStored, async (context) => {
      const queryRows = prepared.encodableQueries;
      const common = { model: BASE_MODEL, source: prepared, queryRows };
      const whole = await retrieve(context, { ...common, phase: "whole", folder: "whole", topK: 300 });
      expect(whole.trackedScores).toBeNull();
      // In no order, some twice, one of a passage that does not exist.
      const tracked = {
        queries: Int32Array.of(11, 0, 5, 5, 0, 3, 3, 7),
        rows: Int32Array.of(299, 17, 0, 250, 17, 4, 5, 1_000_000),
      };
      const some = await retrieve(context, {
        ...common,
        phase: "some",
        folder: "some",
        topK: 4,
        tracked,
        tileQueries: 5,
      });
      for (let query = 0; query < queryRows.length; query += 1) {
        const best = (found: Retrieval) =>
          found.ranked.rows.subarray(query * found.ranked.topK, query * found.ranked.topK + 4);
        expect([...best(some)]).toEqual([...best(whole)]);
      }
      const expected = [...tracked.rows].map((row, at) => scoreIn(whole, tracked.queries[at] as number, row));
      expect(some.trackedScores?.[7]).toBeNaN();
      for (const [at, score] of expected.slice(0, 7).entries()) {
        expect(Math.abs((some.trackedScores?.[at] as number) - (score as number)), `pair ${at}`).toBeLessThan(1e-6);
      }
      if (isStored) expect(some.throughput.texts).toBe(0);
    });
  },
  240_000,
);
