/** Broken input: one clear error with file, line and id, the right exit status, nothing half-written. */
import { access, appendFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { writeCollection } from "../fixtures/collection.js";
import { openWorkplace, type Workplace } from "./harness.js";

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace();
});
afterAll(() => place.remove());

beforeEach(async () => {
  await writeCollection(place.collection);
  await place.experiment(`
    name: "broken",
    model: biEncoder(${JSON.stringify(place.model)}),
    evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }) },
    workers: { threads: 1 },
  `);
});

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

async function expectFailure(exitCode: number, ...pieces: string[]): Promise<void> {
  const result = await place.quarry("evaluate", "experiment.ts");
  for (const piece of pieces) expect(result.stderr).toContain(piece);
  expect(result.exitCode).toBe(exitCode);
  expect(result.stderr).toContain("hint:");
  expect(result.stderr).not.toMatch(/\n\s+at /);
  expect(await exists(join(place.folder, "runs/broken/metrics.json"))).toBe(false);
}

test("a line that is no JSON", async () => {
  await appendFile(join(place.collection, "corpus.jsonl"), '{"_id": "p480", "text": "cut of\n');
  await expectFailure(3, "corpus.jsonl:481");
});

test("an id that stands twice", async () => {
  await appendFile(join(place.collection, "corpus.jsonl"), '{"_id": "p7", "text": "again"}\n');
  await expectFailure(3, "p7", "corpus.jsonl:481");
});

test("a judgement of a passage that does not exist", async () => {
  await appendFile(join(place.collection, "qrels/test.tsv"), "q1\tnowhere\t1\n");
  await expectFailure(3, "nowhere", "test.tsv:74");
});

test("a judgement of a query that does not exist", async () => {
  await appendFile(join(place.collection, "qrels/test.tsv"), "nobody\tp1\t1\n");
  await expectFailure(3, "nobody", "test.tsv:74");
});

test("an empty file", async () => {
  await writeFile(join(place.collection, "corpus.jsonl"), "");
  await expectFailure(3, "corpus.jsonl");
});

test("a fault in what is evaluated is told before the training, not after it", async () => {
  await place.experiment(`
    name: "late",
    model: biEncoder(${JSON.stringify(place.model)}),
    train: { data: binary({ positives: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }) }) },
    evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }) },
  `);
  const run = async (): Promise<string> => {
    const { exitCode, stderr } = await place.quarry("run", "experiment.ts");
    expect(await exists(join(place.folder, "runs/late/train"))).toBe(false);
    return `${exitCode} ${stderr}`;
  };
  await appendFile(join(place.collection, "qrels/test.tsv"), "q1\tnowhere\t1\n");
  expect(await run()).toMatch(/^3 [^]*test\.tsv:74: unknown passage id "nowhere"/);
  await writeCollection(place.collection);
  await appendFile(join(place.collection, "qrels/test.tsv"), "q1\tp7\t0.5\n");
  expect(await run()).toMatch(/^2 [^]*test\.tsv:74: the score 0\.5 is no whole number[^]*scoreTransform/);
});

test("a model that is nowhere", async () => {
  await place.experiment(`
    name: "nowhere",
    model: biEncoder("no-such/model"),
    evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }) },
    workers: { threads: 1 },
  `);
  await expectFailure(2, "no-such/model", "not in the local cache");
});

test("a misspelt option names the nearest one and starts nothing", async () => {
  const result = await place.quarry("evaluate", "experiment.ts", "--name", "misspelt", "--evaluate.topk", "5");
  expect(result.exitCode).toBe(2);
  expect(result.stderr).toContain("topK");
  expect(await exists(join(place.folder, "runs/misspelt"))).toBe(false);
});

test("a broken source file leaves the cache as it was, and mending it is enough", async () => {
  const corpus = join(place.collection, "corpus.jsonl");
  const good = await readFile(corpus);
  await appendFile(corpus, "{");
  await expectFailure(3, "corpus.jsonl:481");
  await writeFile(corpus, good);
  expect((await place.quarry("evaluate", "experiment.ts")).exitCode).toBe(0);
});
