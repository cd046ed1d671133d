/** Tracked pairs and tiles of queries change nothing about what is found, with the store and without. */
import { rmSync, truncateSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { prepareSource } from "../../src/data/index.js";
import type { PreparedSource } from "../../src/data/types.js";
import type { VectorUnits } from "../../src/embeddings/vector-view.js";
import { biEncoder, defineExperiment, source } from "../../src/experiment/define.js";
import type { IndexConfig } from "../../src/experiment/schema.js";
import { batchSizeOf } from "../../src/pipeline/batch-size.js";
import { RunContext } from "../../src/pipeline/context.js";
import { describe } from "../../src/pipeline/describe.js";
import { withVectors } from "../../src/pipeline/embed.js";
import { throwFailed } from "../../src/pipeline/failed-units.js";
import { type Retrieval, retrieve } from "../../src/pipeline/retrieve.js";
import { retrieveIndexed } from "../../src/pipeline/retrieve-indexed.js";
import { BASE_MODEL } from "../../src/pipeline/step.js";
import { storedQueries } from "../../src/pipeline/stored-queries.js";
import type { Snapshot } from "../../src/pool/types.js";
import { EventStream } from "../../src/report/events.js";
import { openRunDir } from "../../src/rundir/directory.js";
import { openWorkplace, type Workplace } from "../e2e/harness.js";

let place: Workplace;
let prepared: PreparedSource;

beforeAll(async () => {
  place = await openWorkplace({ passages: 300, queries: 12, isEachDifferent: true });
});
afterAll(async () => {
  prepared?.close();
  await place.remove();
});

async function inContext<T>(
  name: string,
  isStored: boolean,
  work: (context: RunContext) => Promise<T>,
  batchSize: number | "auto" = 8,
): Promise<T> {
  const data = source({ corpus: place.collection, qrels: join(place.collection, "qrels/test.tsv") });
  const experiment = defineExperiment({
    name,
    model: biEncoder(place.model, { dtype: "float32" }),
    evaluate: { data },
    embeddings: { store: isStored },
    workers: { count: 1, threads: 1, unitSize: 32, batchSize, device: "cpu" },
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

test.each([true, false])("store: %s", async (isStored) => {
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
});

test("more results than can be held are refused before any work, by exact search and by an index", async () => {
  await inContext("too-many", true, async (context) => {
    const phases: string[] = [];
    context.events.subscribe((event) => {
      if (event.type === "phaseStarted") phases.push(event.phase);
    });
    const searchRows = new Int32Array(2 ** 13);
    const asked = { model: BASE_MODEL, source: { ...prepared, searchRows, close: () => {} }, phase: "a", folder: "a" };
    const [exact, indexed] = [new Int32Array(2 ** 19 + 1), new Int32Array(2 ** 16)];
    await expect(retrieve(context, { ...asked, queryRows: exact, topK: 10_000 })).rejects.toMatchObject({
      code: "CONFIG",
      message: "524,289 queries with topK 8,192 have 4,294,975,488 results, and a search 4,294,967,296 at most",
    });
    const flat = { kind: "flat" } as IndexConfig;
    await expect(retrieveIndexed(context, { ...asked, queryRows: indexed, topK: 8_192 }, flat)).rejects.toMatchObject({
      code: "CONFIG",
      message: "65,536 queries with topK 8,192 have 536,870,912 results, and a search 536,870,656 at most",
    });
    expect(phases).toEqual([]);
  });
});

test("without the store each tile keeps its query vectors, encodes all passages, and says what that costs", async () => {
  await inContext("tiled", false, async (context) => {
    const encoded: Record<string, number> = {};
    const warnings: string[] = [];
    context.events.subscribe((event) => {
      if (event.type === "warning") warnings.push(event.message);
      if (event.type === "phaseFinished") encoded[event.phase] = (encoded[event.phase] ?? 0) + event.done;
    });
    const queryRows = prepared.encodableQueries;
    const options = { model: BASE_MODEL, source: prepared, queryRows, phase: "all", folder: "all", topK: 3 };
    const first = await retrieve(context, { ...options, tileQueries: 5 });
    expect(warnings).toEqual(["12 queries are searched for in 3 parts, each of which encodes all passages."]);
    expect(encoded).toEqual({ "all/queries": 12, "all/passages": 3 * prepared.searchRows.length });
    const again = await retrieve(context, { ...options, tileQueries: 5 });
    expect(again.ranked).toEqual(first.ranked);
    expect(encoded["all/queries"]).toBe(12);
  });
});

test("query vectors that are read part by part from the store are those that are read at once", async () => {
  await inContext("parts", true, async (context) => {
    const contract = await describe(context, BASE_MODEL);
    const queryRows = prepared.encodableQueries;
    const options = { model: BASE_MODEL, source: prepared, queryRows, phase: "parts", folder: "parts" };
    const kept = await storedQueries(context, options, contract);
    const read = await storedQueries(context, options, contract, 0);
    const all = await kept(0, queryRows.length);
    expect(all.length).toBe(queryRows.length * contract.dimension);
    for (const readQueries of [kept, read]) {
      const parts = [await readQueries(0, 5), await readQueries(5, queryRows.length)];
      expect(parts.flatMap((part) => [...part])).toEqual([...all]);
    }
  });
});

test("parts of a run that measure batch sizes at once go on with one size for a model, and record all of them", async () => {
  const work = async (context: RunContext): Promise<void> => {
    const { passages, searchRows } = prepared;
    const labels = ["one", "one", "other"];
    const sizes = await Promise.all(
      labels.map((label) => batchSizeOf(context, { ...BASE_MODEL, label }, passages, searchRows)),
    );
    expect(sizes[0]).toBe(sizes[1]);
    const recorded = await context.runDir.readJson("batch-size.json");
    expect(recorded).toMatchObject({ one: { batchSize: sizes[0] }, other: { batchSize: sizes[2] } });
  };
  await inContext("measured", false, work, "auto");
});

/** Searches the vectors of all passages in a way of its own; vectors that turn out damaged are encoded again. */
async function searchVectors(
  context: RunContext,
  work: (units: VectorUnits, search: (units: VectorUnits) => Promise<Snapshot>, call: number) => Promise<Snapshot>,
): Promise<Snapshot> {
  const contract = await describe(context, BASE_MODEL);
  const { passages, searchRows } = prepared;
  const queries = Float32Array.from({ length: 3 * contract.dimension }, (_, at) => Math.sin(at));
  const pool = await context.pool();
  const search = async (units: VectorUnits): Promise<Snapshot> => {
    let last: Snapshot | undefined;
    const shape = { queries, queryCount: 3, dimension: contract.dimension, topK: 40 };
    const how = { model: null, similarity: "dot", isNormalizing: false };
    const onSnapshot = async (snapshot: Snapshot): Promise<void> => void (last = snapshot);
    throwFailed((await pool.search({ phase: "search", units, ...how, ...shape, onSnapshot })).failed);
    return last as Snapshot;
  };
  let calls = 0;
  const wanted = {
    phase: "passages",
    plan: "passages.plan",
    model: context.modelSpec(BASE_MODEL.checkpoint),
    contract,
    side: "passage",
    dtype: "float32",
    table: passages,
    rows: searchRows,
    batchSize: async () => 8,
  } as const;
  return withVectors(context, wanted, ({ view }) => work(view.units(passages.idRanks, "vectors"), search, calls++));
}

test("a worker that reads vectors from files scores as one that is sent them, to the last bit", async () => {
  await inContext("ways", true, async (context) => {
    const found = await searchVectors(context, async (units, search) => {
      expect(units.placed?.files.length).toBeGreaterThan(0);
      const { placed: _, ...sent } = units;
      const [read, told] = [await search(units), await search(sent)];
      expect(read.rows).toEqual(told.rows);
      expect(read.scores).toEqual(told.scores);
      return read;
    });
    expect(found.rows.every((row) => row >= 0)).toBe(true);
  });
});

test.each(["has gone", "is cut short"])(
  "a file of vectors that %s when a worker reads it is encoded again",
  async (fate) => {
    await inContext(fate.replaceAll(" ", "-"), true, async (context) => {
      const warnings: string[] = [];
      context.events.subscribe((event) => {
        if (event.type === "warning") warnings.push(event.message);
      });
      let sound: Snapshot | undefined;
      const found = await searchVectors(context, async (units, search, call) => {
        if (call > 0) return search(units);
        sound = await search(units);
        // After the orchestrator has looked at them: only the worker can notice.
        const frames = Array.from({ length: units.count }, (_, unit) => units.placed?.frame(unit) as Uint8Array);
        for (const file of units.placed?.files ?? []) {
          if (fate === "has gone") rmSync(join(file, ".."), { recursive: true });
          else truncateSync(file, 1_000);
        }
        const { placed } = units;
        if (placed === undefined) throw new Error("no unit names places");
        return search({ ...units, placed: { ...placed, frame: (unit) => frames[unit] as Uint8Array } });
      });
      expect(found.rows).toEqual(sound?.rows);
      expect(found.scores).toEqual(sound?.scores);
      expect(warnings.join("\n")).toMatch(/vectors\.arrow.*encoded again/);
    });
  },
);
