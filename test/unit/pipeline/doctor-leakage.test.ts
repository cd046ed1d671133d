/** Which evaluated queries the doctor finds among those that are trained on. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { InspectedData } from "../../../src/data/inspect/inspected.js";
import type { SourceConfig } from "../../../src/experiment/schema.js";
import { checkLeakage } from "../../../src/pipeline/doctor/data.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-leakage-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A source whose queries all judge one passage. */
async function sourceOf(name: string, texts: readonly string[], title = ""): Promise<SourceConfig> {
  const path = (file: string): string => join(folder, `${name}-${file}`);
  const lines = (of: (text: string, at: number) => string): string =>
    texts.map((text, at) => `${of(text, at)}\n`).join("");
  await writeFile(path("corpus.jsonl"), '{"_id": "d", "text": "a passage"}\n');
  await writeFile(
    path("queries.jsonl"),
    lines((text, at) => JSON.stringify({ _id: `q${at}`, title, text })),
  );
  await writeFile(
    path("qrels.tsv"),
    lines((_, at) => `q${at}\t0\td\t1`),
  );
  return { kind: "source", corpus: path("corpus.jsonl"), queries: path("queries.jsonl"), qrels: path("qrels.tsv") };
}

test("a query with another title is another one", async () => {
  const searched = [{ path: "evaluate.data", data: await sourceOf("test", ["amber"], "Stones") }];
  const trained = await sourceOf("train", ["amber"]);
  const data: InspectedData = { sources: [["train.data.positives", trained]], searched, train: null };
  const context = { baseDir: folder, cacheDir: join(folder, "cache"), seed: 42 };
  expect(await checkLeakage(data, context)).toMatchObject([{ status: "ok", facts: { leaked: 0, queries: 1 } }]);
});

test("a text that a hundred thousand queries share is looked for once", async () => {
  const trained = await sourceOf("train", [...Array<string>(100_000).fill("click here"), "amber"]);
  const searched = await sourceOf("test", ["amber", "basalt", "click here"]);
  const data: InspectedData = {
    sources: [["train.data.positives", trained]],
    searched: [{ path: "evaluate.data", data: searched }],
    train: null,
  };
  const context = { baseDir: folder, cacheDir: join(folder, "cache"), seed: 42 };
  expect(await checkLeakage(data, context)).toMatchObject([
    { check: "leakage", status: "note", facts: { leaked: 2, queries: 3 } },
  ]);
});
