/** Real files, where they are at hand (`../shared/data`, or the folder that QUARRY_TEST_DATA names). */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Role } from "../../../../src/data/readers/reader.js";
import { readPath } from "./read-file.js";

const folder = process.env["QUARRY_TEST_DATA"] ?? join(import.meta.dirname, "../../../../../shared/data");
const isMissing = !existsSync(join(folder, "formats/SOURCE.md"));

describe.skipIf(isMissing)(`real samples${isMissing ? " (skipped: no data; set QUARRY_TEST_DATA)" : ""}`, () => {
  test.each<[string, Role, string, number, string]>([
    ["formats/nfcorpus.train.bm25-top100.run.gz", "qrels", "trec-run", 178_942, "PLAIN-3|MED-2434|7.287099838256836"],
    ["formats/scifact.train.bm25-top100.run.gz", "qrels", "trec-run", 80_827, "0|26071782|5.126299858093262"],
    ["formats/scifact.train.bm25-top100.run.gz", "ids", "trec-run", 80_827, "0"],
    ["formats/nfcorpus.train.triples.tsv.gz", "qrels", "triples", 216_258, "PLAIN-3|MED-2436|1"],
    ["formats/scifact.train.triples.tsv.gz", "qrels", "triples", 1838, "0|31715818|1"],
    ["formats/scifact.train.triples.tsv.gz", "ids", "triples", 919, "0"],
    ["nfcorpus/corpus.jsonl", "corpus", "jsonl", 3633, "MED-10"],
    ["nfcorpus/queries.jsonl", "queries", "jsonl", 3237, "PLAIN-3"],
    ["nfcorpus/queries.jsonl", "ids", "jsonl", 3237, "PLAIN-3"],
    ["nfcorpus/qrels/train.tsv", "qrels", "tsv", 110_575, "PLAIN-3|MED-2436|1"],
    ["nfcorpus/qrels/train.tsv", "ids", "tsv", 110_575, "PLAIN-3"],
    ["scifact/corpus.jsonl", "corpus", "jsonl", 5183, "4983"],
    ["scifact/queries.jsonl", "queries", "jsonl", 1109, "0"],
    ["scifact/qrels/test.tsv", "qrels", "tsv", 339, "1|31715818|1"],
    ["trec_eval/oracle/nfcorpus.test.qrels", "qrels", "trec-qrels", 12_334, "PLAIN-2|MED-2427|2"],
    ["trec_eval/oracle/scifact.test.bm25.run.gz", "qrels", "trec-run", 29_966, "1|34386619|"],
  ])("%s as %s is %s", async (path, role, format, count, first) => {
    const result = await readPath(join(folder, path), role);
    expect([result.format, result.records.length]).toEqual([format, count]);
    expect(result.records[0]).toMatch(new RegExp(`^${first.replaceAll("|", "\\|").replaceAll(".", "\\.")}`));
  });
});
