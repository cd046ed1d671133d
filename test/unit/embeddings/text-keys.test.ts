/** A text's key follows what travels to the worker, and nothing else. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { prepareSource } from "../../../src/data/index.js";
import { covers, planMissing, readPlan, writePlan } from "../../../src/embeddings/encode-plan.js";
import { KEY_WORDS, type TextKeys, textKeys } from "../../../src/embeddings/text-keys.js";
import { source } from "../../../src/experiment/define.js";
import { experimentSchema } from "../../../src/experiment/schema.js";
import { liveBytes } from "../../fixtures/live-bytes.js";
import { keysOf } from "./stores.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "quarry-keys-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function keysOfCorpus(records: readonly object[], options: object = {}): Promise<string[]> {
  const path = join(folder, `corpus-${Math.random().toString(36).slice(2)}.jsonl`);
  writeFileSync(path, records.map((record) => `${JSON.stringify(record)}\n`).join(""));
  const { encode } = experimentSchema.parse({
    name: "keys",
    model: { kind: "biEncoder", checkpoint: "tiny" },
    encode: { data: source({ corpus: path, ...options }) },
  });
  if (encode === undefined) throw new Error("no data");
  const prepared = await prepareSource(encode.data, { baseDir: folder, cacheDir: join(folder, "cache"), seed: 1 });
  try {
    const rows = prepared.searchRows;
    return toHex(await textKeys(prepared.passages, rows, join(folder, "cache")));
  } finally {
    prepared.close();
  }
}

function toHex({ keys }: TextKeys): string[] {
  const bytes = Buffer.from(keys.buffer, keys.byteOffset, keys.byteLength);
  return Array.from({ length: keys.length / KEY_WORDS }, (_, at) => bytes.toString("hex", at * 16, at * 16 + 16));
}

test("equal texts have equal keys, whatever their ids and places; a title apart is another text", async () => {
  const [one, other, third, moved] = await keysOfCorpus([
    { _id: "a", title: "T", text: "some text" },
    { _id: "b", title: "", text: "T some text" },
    { _id: "c", title: "Ts", text: "ome text" },
    { _id: "d", title: "T", text: "some text" },
  ]);
  expect(moved).toBe(one);
  expect(new Set([one, other, third]).size).toBe(3);
  const [later] = await keysOfCorpus([{ _id: "z", title: "T", text: "some text" }]);
  expect(later).toBe(one);
});

test("prompts and templates of the data are part of the key", async () => {
  const record = { _id: "a", title: "T", text: "some text" };
  const [plain] = await keysOfCorpus([record]);
  const [prompted] = await keysOfCorpus([record], { prompts: { passage: "p: " } });
  const [empty] = await keysOfCorpus([record], { prompts: { passage: "" } });
  const [filled] = await keysOfCorpus([record], { templates: { passage: "{title}: {text}" } });
  expect(new Set([plain, prompted, empty, filled]).size).toBe(4);
});

test("extras are part of the key, and without any it is the key of the bare text", async () => {
  const record = { _id: "a", title: "T", text: "some text" };
  const [plain] = await keysOfCorpus([record]);
  const extras = { passage: ["domain"] };
  const [law, art, none] = await keysOfCorpus(
    [
      { ...record, domain: "law" },
      { ...record, _id: "b", domain: "art" },
      { ...record, _id: "c" },
    ],
    { extras },
  );
  expect(none).toBe(plain);
  expect(new Set([plain, law, art]).size).toBe(3);
  const [named] = await keysOfCorpus([record], { name: "set", extras: { sourceName: true } });
  expect(named).not.toBe(plain);
});

test("texts that only read alike when their parts are put together have keys of their own", async () => {
  const prompted = (prompt: string, text: string) =>
    keysOfCorpus([{ _id: "a", title: prompt === "ab" ? "c" : "b", text }], { prompts: { passage: prompt } });
  const [[one], [other]] = [await prompted("ab", "d"), await prompted("a", "cd")];
  expect(one).not.toBe(other);
  // A text that ends in what stands behind another one, as far as bytes go.
  const extras = JSON.stringify({ domain: "law" });
  const text = `some text${extras}${String.fromCharCode(extras.length)}\0\0\0`;
  const records = [
    { _id: "a", text: "some text", domain: "law" },
    { _id: "b", text },
  ];
  expect(new Set(await keysOfCorpus(records, { extras: { passage: ["domain"] } })).size).toBe(2);
});

test("a plan names each missing text once, similar lengths together, and is read back by its own job only", async () => {
  const texts = [4, 9, 4, 7, 2, 9, 30];
  const keys = keysOf(texts);
  const places = { shards: new Int32Array(7), rows: Int32Array.of(-1, -1, -1, 3, -1, -1, 0), missingCount: 5 };
  const plan = planMissing(keys, places);
  expect([...plan].sort()).toEqual([0, 1, 4]);
  const lengths = [...plan].map((at) => keys.lengths[at] as number);
  expect(lengths).toEqual([...lengths].sort((left, right) => right - left));
  expect(covers(plan, keys, places)).toBe(true);
  expect(covers(plan.subarray(1), keys, places)).toBe(false);
  const path = join(folder, "texts.plan");
  await writePlan(path, "a".repeat(32), plan);
  expect(await readPlan(path, "a".repeat(32), 7)).toEqual(plan);
  expect(await readPlan(path, "b".repeat(32), 7)).toBeNull();
  expect(await readPlan(path, "a".repeat(32), 3)).toBeNull();
  expect(await readPlan(join(folder, "none"), "a".repeat(32), 7)).toBeNull();
});

test("a plan of many texts does not lie on V8's heap, where a list ends at 112 million", () => {
  const count = 1_000_000;
  const keys = new Int32Array(count * KEY_WORDS);
  for (let at = 0; at < keys.length; at += 1) keys[at] = Math.imul(at + 1, 0x9e3779b1);
  const none = new Int32Array(count).fill(-1);
  const heap: number[] = [];
  let asked = 0;
  const places = {
    shards: none,
    missingCount: count,
    /** Asked for at each text: with the last one, all that a list would hold is reachable. */
    get rows() {
      asked += 1;
      if (asked === 1 || asked === count) heap.push(liveBytes().heap);
      return none;
    },
  };
  expect(planMissing({ keys, lengths: new Int32Array(count) }, places).length).toBe(count);
  const [first, last] = heap as [number, number];
  // A list takes 8 MB.
  expect(last - first).toBeLessThan(1_000_000);
});

test("hashing the texts of a large table is told, and not done again", async () => {
  const path = join(folder, "large.jsonl");
  writeFileSync(path, Array.from({ length: 100_000 }, (_, at) => `{"_id": "${at}", "text": "t${at}"}\n`).join(""));
  const { encode } = experimentSchema.parse({
    name: "keys",
    model: { kind: "biEncoder", checkpoint: "tiny" },
    encode: { data: source({ corpus: path }) },
  });
  const data = encode?.data;
  if (data === undefined) throw new Error("no data");
  const prepared = await prepareSource(data, { baseDir: folder, cacheDir: join(folder, "cache"), seed: 1 });
  const heard: number[] = [];
  const ask = (): Promise<TextKeys> =>
    textKeys(prepared.passages, prepared.searchRows, join(folder, "cache"), undefined, (done) => heard.push(done));
  try {
    await ask();
    expect(heard).toEqual([65_536]);
    await ask();
    expect(heard).toEqual([65_536]);
  } finally {
    prepared.close();
  }
});
