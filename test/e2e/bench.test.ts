/** The benchmarks start: what between two measurements nobody else would notice. Their Python parts: test/py/bench. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, expect, test } from "vitest";
import { collectionOf } from "../../scripts/bench/data/folders.js";
import { serve } from "../../scripts/bench/data/quarry.js";
import { runPythonPart } from "../../scripts/bench/search/python-part.js";
import { measure } from "../../scripts/bench/shared/command.js";
import { findPython } from "../../src/python/environment.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "quarry-bench-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const bench = (script: string, ...args: string[]) =>
  execa("node", ["scripts/on-build.mjs", `scripts/bench/${script}`, ...args], { reject: false, stdin: "ignore" });

test("bench:search measures a part, on workers with the encoder that stands in for a model", async () => {
  const options = ["--only", "cpu", "--quick", "--threads", "1", "--out", join(folder, "search.json")];
  const { exitCode, stdout, stderr } = await bench("search/index.ts", ...options);
  expect(exitCode, stderr).toBe(0);
  expect(stdout).toContain("| search, 1024 queries, k = 1000: what a unit of 256 passages costs the orchestrator |");
});

test("a part that is a Python script finds its neighbours, and leaves out a rival that is not there", async () => {
  const small = ["--passages", "600", "--queries", "1", "--k", "10", "--budget", "0"];
  const { figures, numbers } = await measure(
    { extras: ["demo", "test"] },
    "topk",
    (context) => runPythonPart({ ...context, peersPython: () => context.python.executable }, "topk.py", small),
    { quick: true, device: "cpu", threads: 1 },
  );
  expect(figures.map(({ what }) => what)).toContain("update 600 × 1 × 10");
  expect(Object.keys(numbers[0]?.["seconds"] as object)).toEqual(["quarry", "torch", "naive"]);
});

test("the parts of bench:train and bench:data load", async () => {
  const train = await bench("train/index.ts", "--report", "--out", join(folder, "train.json"));
  expect(train).toMatchObject({ exitCode: 0 });
  const data = await bench("data/index.ts", "--sizes", "1000", "--peers", "none", "--no-quarry");
  expect(data).toMatchObject({
    exitCode: 0,
    stderr: expect.stringContaining("collection of 1,000 passages") as string,
  });
  expect((await bench("data/slow-disk.ts")).stderr).toContain("--folder is missing.");
});

test("an orchestrator of bench:data serves a consumer", async () => {
  const { path } = await collectionOf(folder, 1_000, false);
  const python = await findPython({ extras: ["demo", "test"] });
  const place = { dist: "dist", collection: path, cache: join(folder, "cache"), python, batch: 2, seconds: 0.05 };
  const { groupsPerSecond, consumerBytes } = await serve(place, 1, "strings");
  expect(groupsPerSecond.later).toBeGreaterThan(0);
  expect(consumerBytes).toHaveLength(1);
});
