/** Long texts are gathered few at a time: their keys and digests are the same, and no column outgrows its offsets. */
import { createHash } from "node:crypto";
import { expect, test, vi } from "vitest";
import { DIGEST_BYTES, digestTexts, prepareSource } from "../../../src/data/index.js";
import { textBlocks } from "../../../src/data/texts/blocks.js";
import { KEY_WORDS, textKeys } from "../../../src/embeddings/text-keys.js";
import type { SourceConfig } from "../../../src/experiment/schema.js";
import { jsonLines, newCollection } from "./collection.js";

const MiB = 1 << 20;

test("blocks end at 4,096 rows, and before the text that would make more than 64 MiB; a longer one stands alone", () => {
  const lengths = [40 * MiB, 24 * MiB, 1, 100 * MiB, 2, 3];
  const cut = (rows: number[]) =>
    [...textBlocks({ byteLength: (row) => lengths[row] ?? 9 }, Int32Array.from(rows))].map((block) => [
      block.start,
      block.rows.length,
    ]);
  expect(cut([0, 1, 2, 3, 4, 5])).toEqual([
    [0, 2],
    [2, 1],
    [3, 1],
    [4, 2],
  ]);
  expect(cut(Array.from({ length: 5_000 }, (_, at) => at + 6))).toEqual([
    [0, 4_096],
    [4_096, 904],
  ]);
  expect(cut([])).toEqual([]);
});

test("keys and digests of long texts are those of the texts alone, and at most 64 MiB are gathered at once", async () => {
  const long = "x".repeat(MiB - 1);
  const place = newCollection({
    "corpus.jsonl": jsonLines([
      { _id: "a", title: "T", text: long },
      { _id: "b", title: "", text: "short", kind: "k".repeat(1_000) },
    ]),
  });
  const data: SourceConfig = { kind: "source", corpus: "corpus.jsonl", extras: { passage: ["kind"] } };
  const source = await prepareSource(data, place.context);
  const { passages } = source;
  try {
    // Title and text; the text, and the extras {"kind":"…"}.
    expect([passages.byteLength(0), passages.byteLength(1)]).toEqual([MiB, 5 + 1_011]);
    const gather = vi.spyOn(passages, "gather");
    const rows = new Int32Array(150);
    rows[149] = 1;
    const { keys, lengths } = await textKeys(passages, rows, place.dir);
    const digests = digestTexts(passages, rows);
    const gathered = gather.mock.calls.map(([block]) => block.length);
    expect(gathered).toEqual([64, 64, 22, 64, 64, 22]);
    const apart = await textKeys(passages, Int32Array.of(0, 1), place.dir);
    const key = (all: Int32Array, at: number) => [...all.subarray(at * KEY_WORDS, (at + 1) * KEY_WORDS)];
    for (const at of [0, 64, 148]) expect(key(keys, at)).toEqual(key(apart.keys, 0));
    expect(key(keys, 149)).toEqual(key(apart.keys, 1));
    expect([lengths[148], lengths[149]]).toEqual([MiB, 5 + 1_011]);
    const digest = createHash("sha256")
      .update(Uint8Array.of(1, 0, 0, 0))
      .update(`T${long}`)
      .digest("hex");
    for (const at of [0, 64, 148])
      expect(digests.toString("hex", at * DIGEST_BYTES, (at + 1) * DIGEST_BYTES)).toBe(digest);
  } finally {
    source.close();
  }
});
