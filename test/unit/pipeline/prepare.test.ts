/** What a step says of its data: how many lines were read, or that the cache had all of it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { biEncoder, defineExperiment, source } from "../../../src/experiment/define.js";
import type { SearchDataConfig } from "../../../src/experiment/schema.js";
import { RunContext } from "../../../src/pipeline/context.js";
import { prepare } from "../../../src/pipeline/prepare.js";
import { EventStream } from "../../../src/report/events.js";
import { openRunDir } from "../../../src/rundir/directory.js";
import { writeCollection } from "../../fixtures/collection.js";

let folder = "";
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "quarry-prepare-"));
  await writeCollection(folder, { passages: 96, queries: 12 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("data is read once, and then said to be in the cache", async () => {
  const data = source({ corpus: folder, qrels: join(folder, "qrels/test.tsv") });
  const cacheDir = join(folder, "cache");
  const experiment = defineExperiment({ name: "twice", model: biEncoder("m"), evaluate: { data }, cacheDir });
  const runDir = await openRunDir({ path: join(folder, "run"), config: experiment.config, bound: () => [] });
  const events = new EventStream();
  const ends: object[] = [];
  events.subscribe((event) => {
    if (event.type === "phaseFinished") ends.push({ done: event.done, isCached: event.isCached });
  });
  const context = new RunContext(experiment, runDir, events, new AbortController().signal);
  const asked = experiment.config.evaluate?.data as SearchDataConfig;
  for (const phase of ["first", "second"]) (await prepare(context, phase, asked)).close();
  await runDir.close();
  expect(ends).toEqual([
    { done: expect.any(Number), isCached: undefined },
    { done: 0, isCached: true },
  ]);
  expect(ends[0]).not.toMatchObject({ done: 0 });
});
