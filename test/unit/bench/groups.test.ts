/** The batches that the rivals of the training benchmark share. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeCollection } from "../../../scripts/bench/train/collection.js";
import { writeGroups } from "../../../scripts/bench/train/groups.js";
import type { Training } from "../../../scripts/bench/train/quarry.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-groups-"));
});
afterAll(async () => rm(folder, { recursive: true }));

test("every query has its own three passages, and no step holds a text twice", async () => {
  const words = Array.from(
    { length: 500 },
    (_, at) => `word${String.fromCharCode(97 + (at % 26), 97 + Math.floor(at / 26))}`,
  );
  await writeFile(join(folder, "vocab.txt"), ["[PAD]", "##ing", "12", ...words].join("\n"));
  writeCollection({ folder, passages: 90, passageWords: 12, queryWords: 5, model: folder });
  const training: Training = {
    ...{ model: "unused", collection: folder, cacheDir: join(folder, "cache"), queries: 6, negatives: 2 },
    ...{ queryLength: 32, passageLength: 128, steps: 5, threads: 1, ranks: 1, device: "cpu", bf16: false },
  };
  const path = join(folder, "groups.jsonl");
  await writeGroups(path, training);
  const lines = (name: string): Promise<Record<string, string>[]> =>
    readFile(join(folder, name), "utf8").then((text) =>
      text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    );
  const [corpus, queries] = [await lines("corpus.jsonl"), await lines("queries.jsonl")];
  const groups = (await lines("groups.jsonl")) as unknown as { query: string; passages: string[] }[];
  expect(groups).toHaveLength(30);
  expect(new Set(groups.flatMap(({ passages }) => passages)).size).toBe(90);
  for (const { query, passages } of groups) {
    const at = queries.findIndex(({ text }) => text === query);
    const own = corpus.slice(at * 3, at * 3 + 3).map(({ text }) => text);
    expect(passages[0]).toBe(own[0]);
    expect(passages.toSorted()).toEqual(own.toSorted());
  }
});
