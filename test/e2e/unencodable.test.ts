/** Passages that cannot be encoded are found one by one; they stop the run, or are left out where the user says so. */
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, type Workplace } from "./harness.js";

/** Its vectors of texts with a "#" are not finite; a text with a "$" ends the process. */
const PLUGIN = `
import os

from quarry_runtime.modeling.encoders.auto import auto
from quarry_runtime.modeling.registry import register_encoder


@register_encoder("odd")
def odd(resolved, spec, dtype, options):
    """Fails on some texts."""
    encoder = auto(resolved, spec, dtype, options)
    forward = encoder.forward
    broken, deadly = encoder.tokenizer.convert_tokens_to_ids(["#", "$"])

    def odd_forward(batch, side):
        vectors = forward(batch, side)
        if (batch["input_ids"] == deadly).any():
            os.kill(os.getpid(), 9)
        vectors[(batch["input_ids"] == broken).any(1)] = float("nan")
        return vectors

    encoder.forward = odd_forward
    return encoder


@register_encoder("moody")
def moody(resolved, spec, dtype, options):
    """Fails on every batch of four, whatever its texts."""
    encoder = auto(resolved, spec, dtype, options)
    forward = encoder.forward

    def moody_forward(batch, side):
        if len(batch["input_ids"]) == 4:
            raise ValueError("four is too many")
        return forward(batch, side)

    encoder.forward = moody_forward
    return encoder
`;

let place: Workplace;
beforeAll(async () => {
  place = await openWorkplace({ passages: 120, queries: 24 });
  await writeFile(join(place.folder, "odd.py"), PLUGIN);
  const odd = [
    { _id: "nan-1", text: "river # stone" },
    { _id: "deadly", text: "cloud $ engine" },
    { _id: "nan-2", text: "a # text" },
  ];
  const lines = odd.map((line) => JSON.stringify(line)).join("\n");
  await appendFile(join(place.folder, "collection/corpus.jsonl"), `${lines}\n`);
  // Two attempts: the answer about one text may be lost with the worker that the next one ends.
  await place.experiment(`
    name: "odd",
    model: biEncoder(${JSON.stringify(place.model)}, { encoder: "odd", plugins: ["odd.py"], dtype: "float32" }),
    evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }), topK: 120, measures: ["R@100"] },
    workers: { count: 1, threads: 1, unitSize: 8, batchSize: 4, maxAttempts: 2 },
  `);
});
afterAll(() => place.remove());

test.each([true, false])("they stop the run by name, and are left out on request (store: %s)", async (store) => {
  const args = ["evaluate", "experiment.ts", "--embeddings.store", String(store), "--runDir", `runs/${store}`];
  const stopped = await place.quarry(...args);
  expect(stopped.stderr).toContain("3 passages cannot be encoded:");
  expect(stopped.stderr).toContain(
    "nan-1 (collection/corpus.jsonl:121)".replace("collection", join(place.folder, "collection")),
  );
  expect(stopped.stderr).toMatch(/deadly \(.*corpus\.jsonl:122\): .*SIGKILL/);
  expect(stopped.exitCode).toBe(3);

  const done = await place.quarry(...args, "--embeddings.unencodable", "warn");
  expect(done.exitCode, done.stderr).toBe(0);
  expect(done.stdout + done.stderr).toContain("3 passages cannot be encoded and are left out");
  const run = await readFile(join(place.folder, `runs/${store}/evaluate-base/run.trec`), "utf8");
  const found = new Set(
    run
      .trim()
      .split("\n")
      .map((line) => line.split(" ")[2]),
  );
  expect(found.size).toBe(120);
  for (const id of ["nan-1", "deadly", "nan-2"]) expect(found).not.toContain(id);
});

test("units that fail whatever their texts end the step, and no text is blamed", async () => {
  const args = ["--model.encoder", "moody", "--embeddings.unencodable", "warn", "--runDir", "runs/moody"];
  const { exitCode, stderr } = await place.quarry("evaluate", "experiment.ts", ...args);
  expect(stderr).toMatch(/\d+ units? could not be done; \S+: .*four is too many/);
  expect(stderr).not.toContain("cannot be encoded");
  expect(exitCode).toBeGreaterThan(0);
});
