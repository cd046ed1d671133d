/** What a verb gives back of its measures, from a script; runs from elsewhere need no worker. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { biEncoder, defineExperiment, evaluate, source, suite } from "../../src/index.js";
import { writeCollection } from "../fixtures/collection.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-values-"));
  await writeCollection(folder, { passages: 40, queries: 8 });
  const judged = (await readFile(join(folder, "qrels/test.tsv"), "utf8")).trimEnd().split("\n").slice(1);
  const first = judged.slice(0, 3).map((line) => line.split("\t"));
  await writeFile(join(folder, "few.run"), first.map(([query, passage]) => `${query} Q0 ${passage} 1 1 t\n`).join(""));
  await writeFile(join(folder, "none.run"), `${first[0]?.[0]} Q0 p39 1 1 t\n`);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("values are those of the only evaluation, of a suite the average", async () => {
  const data = source({ corpus: folder, qrels: join(folder, "qrels/test.tsv") });
  const [few, none] = [join(folder, "few.run"), join(folder, "none.run")];
  const settings = { model: biEncoder("nobody/knows-this-model"), cacheDir: join(folder, "cache") };
  const measures = { measures: ["R@5", "Success@5"] };
  const one = { name: "one", runDir: join(folder, "one"), ...settings, evaluate: { data, run: few, ...measures } };
  const alone = await evaluate(defineExperiment(one));
  expect(alone.values["R@5"]).toBeGreaterThan(0);
  expect(alone.metrics).toEqual({ run: alone.values });

  const sets = suite({ few: { data, run: few }, none: { data, run: none } });
  const two = { name: "two", runDir: join(folder, "two"), ...settings, evaluate: { data: sets, ...measures } };
  const both = await evaluate(defineExperiment(two));
  expect(both.metrics["run/few"]).toEqual(alone.values);
  expect(both.values).toEqual(both.metrics["run"]);
  const half = (alone.values["R@5"] as number) / 2 + (both.metrics["run/none"]?.["R@5"] as number) / 2;
  expect(both.values["R@5"]).toBeCloseTo(half, 12);
});
