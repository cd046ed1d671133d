/** A FAISS index behind the same verb: what it finds, how it is kept, and whose queries it takes. */
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, type Workplace } from "../e2e/harness.js";

let place: Workplace;

const body = (name: string, more: string): string => `
  name: ${JSON.stringify(name)},
  model: biEncoder(${JSON.stringify(place.model)}, { dtype: "float32" }),
  encode: { data: source({ corpus: "collection" }), export: "faiss" },
  workers: { count: 1, threads: 1, unitSize: 32, batchSize: 8, device: "cpu" },
  ${more}
`;
const searched = (index = ""): string => `search: { data: source({ corpus: "collection" }), topK: 10, ${index} },`;

beforeAll(async () => {
  place = await openWorkplace({ passages: 400, queries: 12, isEachDifferent: true });
});
afterAll(() => place.remove());

async function quarry(...args: string[]): Promise<string> {
  const { exitCode, stderr, stdout } = await place.quarry(...args, "--reporter", "plain");
  expect([exitCode, stderr]).toEqual([0, ""]);
  return stdout;
}

async function search(name: string, index = "", more = ""): Promise<string[][]> {
  await place.experiment(body(name, searched(index) + more));
  await quarry("search", "experiment.ts");
  return runOf(join(place.folder, "runs", name, "search-base"));
}

function runOf(folder: string): string[][] {
  const lines = readFileSync(join(folder, "run.trec"), "utf8").trim().split("\n");
  return lines.map((line) => line.split(" "));
}

/** The same passages at the same ranks, with scores that differ in their last bits at most. */
function expectAlike(found: string[][], exact: string[][]): void {
  expect(found.map(([query, , id, rank]) => [query, id, rank])).toEqual(
    exact.map(([query, , id, rank]) => [query, id, rank]),
  );
  for (const [at, line] of found.entries())
    expect(Math.abs(Number(line[4]) - Number(exact[at]?.[4]))).toBeLessThan(1e-5);
}

test("flat, and ivf that looks into all of its lists, find what exact search finds; hnsw most of it", async () => {
  const exact = await search("exact");
  expect(exact.length).toBe(new Set(exact.map(([query]) => query)).size * 10);
  expectAlike(await search("flat", 'index: { kind: "flat" }'), exact);
  expectAlike(await search("ivf", 'index: { kind: "ivf", nlist: 8, nprobe: 8 }'), exact);
  const pairs = new Set(exact.map(([query, , id]) => `${query} ${id}`));
  const hnsw = await search("hnsw", 'index: { kind: "hnsw", m: 16, ef: 400 }');
  expect(hnsw.filter(([query, , id]) => pairs.has(`${query} ${id}`)).length).toBeGreaterThan(exact.length * 0.9);
});

test("over int8 vectors a flat index finds what exact search over the same vectors finds", async () => {
  const more = 'embeddings: { dtype: "int8" },';
  const exact = await search("int8-exact", "", more);
  expectAlike(await search("int8-flat", 'index: { kind: "flat" }', more), exact);
  // The passages were encoded once, and what was searched is not float32 after all.
  const events = readFileSync(join(place.folder, "runs/int8-flat/events.jsonl"), "utf8");
  expect(events).not.toContain('"phaseFinished","phase":"search-base/passages"');
  const full = await search("float32-exact");
  expect(exact.map(([, , , , score]) => score)).not.toEqual(full.map(([, , , , score]) => score));
});

test("an index is built once for its vectors; another nprobe needs no other, and a damaged one is built again", async () => {
  const index = 'index: { kind: "ivf", nlist: 8, nprobe: 8 }';
  const all = await search("kept", index);
  const folder = join(place.folder, "runs/kept/indexes");
  const [built = "", ...others] = readdirSync(folder);
  expect(others).toEqual([]);
  const { ino } = statSync(join(folder, built));
  await quarry("search", "experiment.ts", "--search.index.nprobe", "1");
  expect(statSync(join(folder, built)).ino).toBe(ino);
  expect(runOf(join(place.folder, "runs/kept/search-base")).length).toBeLessThanOrEqual(all.length);

  const file = join(folder, built, "index.faiss");
  const bytes = readFileSync(file);
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
  writeFileSync(file, bytes);
  const again = await place.quarry("search", "experiment.ts", "--text", "river silver", "--reporter", "plain");
  expect(again.exitCode).toBe(0);
  expect(again.stdout + again.stderr).toMatch(/not what was written\. The index is built again/);
  expect(statSync(join(folder, built)).ino).not.toBe(ino);
});

test("an index is exported and searched with the same script, which names no export, and other exports join it", async () => {
  await place.experiment(body("one", searched()).replace(', export: "faiss"', ""));
  const step = join(place.folder, "runs/one/encode-base");
  await quarry("encode", "experiment.ts", "--export", "faiss");
  await quarry("search", "experiment.ts", "--index", "runs/one/encode-base/index", "--text", "river silver");
  // Without a word more the script asks for a matrix; it is written of the vectors that are there.
  await quarry("encode", "experiment.ts", "--export", "none");
  const again = await place.quarry("encode", "experiment.ts");
  expect(again.exitCode).toBe(0);
  expect(readdirSync(step)).toEqual(expect.arrayContaining(["ids.json", "index", "vectors.npy"]));
  const journal = join(place.folder, "runs/one/journal.jsonl");
  const before = readFileSync(journal, "utf8");
  await quarry("encode", "experiment.ts");
  expect(readFileSync(journal, "utf8")).toBe(before);
});

test("a saved index answers questions as exact search does, and refuses another model", async () => {
  await place.experiment(body("saving", ""));
  await quarry("encode", "experiment.ts");
  const step = join(place.folder, "runs/saving/encode-base");
  expect(readdirSync(step).sort()).toEqual(["ids.json", "index"]);
  expect(readdirSync(join(step, "index")).sort()).toEqual(["ids.json", "index.faiss", "manifest.json", "ranks.npy"]);

  const asked = (name: string): string[][] => {
    const runs = join(place.folder, "runs", name);
    const [folder = ""] = readdirSync(runs).filter((entry) => entry.startsWith("search-base-"));
    return runOf(join(runs, folder));
  };
  await place.experiment(body("asked-exact", searched()));
  const told = await quarry("search", "experiment.ts", "--text", "river silver");
  await place.experiment(body("asked-saved", searched()));
  const saved = ["search", "experiment.ts", "--index", "runs/saving/encode-base/index"];
  const answer = await quarry(...saved, "--text", "river silver");
  expectAlike(asked("asked-saved"), asked("asked-exact"));
  for (const [, , id = ""] of asked("asked-saved"))
    expect([told, answer].every((text) => text.includes(id))).toBe(true);

  await place.experiment(body("other", searched()).replace('dtype: "float32"', '$&, prompts: { query: "ask: " }'));
  const refused = await place.quarry(...saved, "--text", "river silver");
  expect(refused.exitCode).toBe(2);
  expect(refused.stderr).toMatch(/^error: .*index holds vectors of another model: .*\nhint: Search with the model/);
  rmSync(join(step, "index/manifest.json"));
  const none = await place.quarry(...saved);
  expect([none.exitCode, none.stderr]).toEqual([2, expect.stringContaining("holds no index")]);
});
