/** `quarry track` with the real Python, which says what it lacks. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { trackRun } from "../../src/index.js";

const runDir = mkdtempSync(join(tmpdir(), "quarry-test-track-"));
afterAll(() => rmSync(runDir, { recursive: true, force: true }));

test("an unknown tracker is answered with those there are, however much the run has to tell", async () => {
  mkdirSync(join(runDir, "train"));
  writeFileSync(join(runDir, "experiment.json"), '{"name":"told"}');
  // More than a pipe holds: nobody reads it.
  const steps = Array.from({ length: 20_000 }, (_, at) => `${JSON.stringify({ step: at + 1, loss: 0.5 })}\n`);
  writeFileSync(join(runDir, "train", "steps.jsonl"), steps.join(""));
  await expect(trackRun(runDir, { with: "abacus" })).rejects.toMatchObject({
    code: "CONFIG",
    message: "There is no tracker abacus.",
    hint: expect.stringContaining("tensorboard"),
  });
});
