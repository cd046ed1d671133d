/** Vectors and what they are written as: which of both a run folder is bound to. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { biEncoder, defineExperiment, source } from "../../../src/experiment/define.js";
import { bound, determinants } from "../../../src/pipeline/determinants.js";
import { openRunDir } from "../../../src/rundir/directory.js";

type Encode = Parameters<typeof defineExperiment>[0]["encode"];

const data = source({ corpus: "corpus.jsonl" });

/** A run folder whose vectors were exported as a FAISS index, opened again. */
async function reopened(encode: Encode | undefined): Promise<string> {
  const path = mkdtempSync(join(tmpdir(), "quarry-bound-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  const open = (section: Encode | undefined) => {
    const options = section === undefined ? {} : { encode: section };
    const { config } = defineExperiment({ name: "x", model: biEncoder("m"), search: { data }, ...options });
    return openRunDir({ path, config: determinants(config), bound });
  };
  const first = await open({ data, export: "faiss" });
  await first.journal.append({ type: "stepDone", step: "encode-base" });
  await first.close();
  const again = await open(encode).catch((thrown: unknown) => (thrown as Error).message);
  if (typeof again === "string") return again;
  await again.close();
  return "";
}

test("what vectors are written as may change, which vectors they are may not", async () => {
  expect(await reopened({ data })).toBe("");
  expect(await reopened({ data, export: "faiss", index: { kind: "hnsw" } })).toBe("");
  expect(await reopened({ data, side: "query" })).toContain('encode.side: "passage" → "query"');
  expect(await reopened({ data: source({ corpus: "other.jsonl" }) })).toContain("encode.data.corpus: ");
  expect(await reopened(undefined)).toContain("encode: {");
});
