/** A model at hand in a script: what it makes of texts, and what it leaves behind. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { biEncoder, type EncodedTexts, type Encoder, openEncoder } from "../../src/index.js";
import { writeTinyModel } from "../fixtures/tiny-model.js";

let folder: string;
let encoder: Encoder;
const workers = { count: 2, device: "cpu", threads: 1, unitSize: 4 } as const;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "quarry-test-encoder-"));
  await writeTinyModel(join(folder, "model"));
  encoder = await openEncoder(biEncoder("model", { prompts: { query: "query: " } }), { workers, baseDir: folder });
});
afterAll(async () => {
  await encoder.close();
  await encoder.close();
  rmSync(folder, { recursive: true, force: true });
});

const row = ({ vectors, dimension }: EncodedTexts, at: number): number[] => [
  ...vectors.subarray(at * dimension, (at + 1) * dimension),
];

/** Another shape of a batch changes the last bits. */
function expectEqual(found: readonly number[], wanted: readonly number[]): void {
  expect(found).toHaveLength(wanted.length);
  for (const [at, value] of found.entries()) expect(value).toBeCloseTo(wanted[at] as number, 5);
}

describe("an encoder", () => {
  const texts = Array.from({ length: 11 }, (_, at) => "a b c d e f g ".repeat(1 + ((at * 5) % 11)));

  test("gives vectors in the order of the texts, whatever their lengths and units", async () => {
    const all = await encoder.encode(texts, { side: "passage" });
    expect(all).toMatchObject({ count: 11, dimension: encoder.contract.dimension });
    for (const [at, text] of texts.entries()) {
      expectEqual(row(all, at), row(await encoder.encode([text], { side: "passage" }), 0));
    }
  });

  test("puts the prompt of its side in front", async () => {
    const asked = await encoder.encode(["a b"], { side: "query" });
    expectEqual(row(asked, 0), row(await encoder.encode(["query: a b"], { side: "passage" }), 0));
  });

  test("joins title and text as a corpus does, and takes what is empty", async () => {
    const { vectors } = await encoder.encode([{ title: "a", text: "b c" }, "a b c", ""], { side: "passage" });
    const { dimension } = encoder.contract;
    expectEqual([...vectors.subarray(0, dimension)], [...vectors.subarray(dimension, 2 * dimension)]);
    expect(vectors.every(Number.isFinite)).toBe(true);
  });

  test("of no text gives no vector", async () => {
    expect((await encoder.encode([], { side: "query" })).vectors).toHaveLength(0);
  });

  test("takes several calls at once", async () => {
    const found = await Promise.all(texts.map((text) => encoder.encode([text], { side: "passage" })));
    const all = await encoder.encode(texts, { side: "passage" });
    for (const [at, each] of found.entries()) expectEqual(row(each, 0), row(all, at));
  });

  test("names the place of what is no text", async () => {
    const wrong = ["a", 7 as unknown as string];
    await expect(encoder.encode(wrong, { side: "query" })).rejects.toMatchObject({
      code: "CONFIG",
      message: expect.stringContaining("text 1: expected a string, or { title, text }, saw the number 7"),
    });
  });
});

test("a model that cannot be loaded is told, and nothing stays", async () => {
  writeFileSync(join(folder, "config.json"), "{}");
  const opening = openEncoder(biEncoder(join(folder, "nothing")), { workers });
  await expect(opening).rejects.toMatchObject({ code: "CONFIG" });
});

test("an encoder that was closed says so", async () => {
  const other = await openEncoder(biEncoder("model"), { workers: { ...workers, count: 1 }, baseDir: folder });
  await other[Symbol.asyncDispose]();
  await expect(other.encode(["a"], { side: "query" })).rejects.toThrow("The encoder is closed.");
});

test("a stop ends what is being encoded, and what is asked for afterwards", async () => {
  const stop = new AbortController();
  const other = await openEncoder(biEncoder("model"), {
    workers: { ...workers, count: 1 },
    baseDir: folder,
    signal: stop.signal,
  });
  const texts = Array.from({ length: 20_000 }, (_, at) => `a b ${at}`);
  const encoding = other.encode(texts, { side: "passage" });
  setTimeout(() => stop.abort(), 100);
  await expect(encoding).rejects.toMatchObject({ code: "INTERRUPTED" });
  await expect(other.encode(["a"], { side: "query" })).rejects.toMatchObject({ code: "INTERRUPTED" });
  await other.close();
});
