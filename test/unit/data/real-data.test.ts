/** Real collections, where they are at hand (`../shared/data`, or the folder that QUARRY_TEST_DATA names). */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openTrainingSet, prepareSource } from "../../../src/data/index.js";
import { newCollection, sourceOf } from "./collection.js";
import { binary } from "./training-sets.js";

const folder = process.env["QUARRY_TEST_DATA"] ?? join(import.meta.dirname, "../../../../shared/data");
const isMissing =
  !existsSync(join(folder, "nfcorpus/corpus.jsonl")) || !existsSync(join(folder, "scifact/corpus.jsonl"));

describe.skipIf(isMissing)(`real collections${isMissing ? " (skipped: no data; set QUARRY_TEST_DATA)" : ""}`, () => {
  test.each([
    ["nfcorpus", "train", 3633, 2590, 110_575],
    ["nfcorpus", "dev", 3633, 324, 11_385],
    ["nfcorpus", "test", 3633, 323, 12_334],
    ["scifact", "train", 5183, 809, 919],
    ["scifact", "test", 5183, 300, 339],
  ])("%s %s has the published counts", async (name, split, passageCount, queryCount, judgementCount) => {
    const { cacheDir } = newCollection();
    const source = sourceOf({ corpus: name, qrels: `${name}/qrels/${split}.tsv` });
    const { passages, qrels, close } = await prepareSource(source, { baseDir: folder, cacheDir, seed: 1 });
    const queryRows = [...(qrels?.queryRows ?? [])];
    const judged = queryRows.reduce((sum, query) => sum + (qrels?.annotated(query).rows.length ?? 0), 0);
    expect([passages.rowCount, queryRows.length, judged]).toEqual([passageCount, queryCount, judgementCount]);
    for (let row = 0; row < passages.rowCount; row += 97) expect(passages.rowOf(passages.id(row))).toBe(row);
    close();
  });

  test("a training set over NFCorpus forms a group of every query", async () => {
    const { cacheDir } = newCollection();
    const positives = sourceOf({ corpus: "nfcorpus", qrels: "nfcorpus/qrels/train.tsv" });
    const context = { baseDir: folder, cacheDir, seed: 1 };
    const set = await openTrainingSet(binary({ positives }), context);
    expect(set.queryCount).toBe(2590);
    for (let index = 0; index < set.queryCount; index += 1) {
      const { query, passages } = set.group(index, 3);
      expect(set.isKnownPositive(query, passages[0] as number)).toBe(true);
    }
    set.close();
  });
});
