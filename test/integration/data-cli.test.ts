/** `quarry data`: reports, JSON, overrides and exit statuses, without Python and without a run folder. */
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeCollection } from "../fixtures/collection.js";
import { commandLine } from "../fixtures/command-line.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-data-cli-"));
  await writeCollection(join(folder, "collection"), { passages: 96, queries: 12 });
  await writeFile(
    join(folder, "experiment.ts"),
    `import { biEncoder, binary, defineExperiment, source } from "quarry";
     const judged = source({ corpus: "collection", qrels: "collection/qrels/test.tsv" });
     export default defineExperiment({
       name: "tiny",
       model: biEncoder("./model"),
       train: { data: binary({ positives: judged }), globalBatchSize: 4 },
       evaluate: { data: judged },
     });`,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A Python that cannot start, so that nothing here depends on one. */
function quarry(...argv: string[]) {
  const env = { QUARRY_CACHE: join(folder, "cache"), QUARRY_PYTHON: "/nonexistent/python" };
  return commandLine(["data", ...argv], { cwd: folder, env });
}

describe("quarry data check", () => {
  test("ends with 0 on sound data, builds the cache and no run folder", async () => {
    const { exitCode, stdout, stderr } = await quarry("check", "experiment.ts");
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(/^source +passages +queries +judgements\ntrain\.data\.positives +96 +12 +\d+\n/);
    expect(stdout).toMatch(/tiny: no faults\.$/);
    expect(existsSync(join(folder, "runs"))).toBe(false);
  });

  test("ends with 3 where a run would stop, and with 0 where the experiment says to go on", async () => {
    await writeFile(join(folder, "dangling.tsv"), "query-id\tcorpus-id\tscore\nq0\tnobody\t1\nq0\tp1\t1\n");
    const override = ["--evaluate.data.qrels", "dangling.tsv"];
    const stopped = await quarry("check", "experiment.ts", ...override);
    expect(stopped.exitCode).toBe(3);
    expect(stopped.stdout).toMatch(/^danglingIds: 1 .*\n {2}in dangling\.tsv \(evaluate\.data\)\n {2}error: /m);
    expect(stopped.stdout).toContain('line 2: unknown passage id "nobody"');
    const warned = await quarry("check", "experiment.ts", ...override, "--validation.danglingIds", "warn");
    expect(warned.exitCode).toBe(0);
    expect(warned.stdout).toContain("nothing here stops a run");
  });

  test("writes JSON that holds all of it", async () => {
    const { stdout } = await quarry("check", "experiment.ts", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ isSound: true, sources: [{ passages: 96, queries: 12 }], faults: [] });
  });
});

test("quarry data stats draws plain text when piped", async () => {
  const { exitCode, stdout } = await quarry("stats", "experiment.ts");
  expect(exitCode).toBe(0);
  expect(stdout).toContain("passages: 96 in collection/corpus.jsonl");
  expect(stdout).toMatch(/ {2}step +judgements +queries\n {2}qrels/);
  expect(stdout).toMatch(/steps in an epoch +2/);
  for (const sign of ["█", "▏", "\u001b"]) expect(stdout).not.toContain(sign);
  expect(stdout.split("\n").filter((line) => line.length > 80 && !line.startsWith("cache:"))).toEqual([]);
});

describe("quarry data show", () => {
  test("prints a step's batch with the place of every text", async () => {
    const { exitCode, stdout } = await quarry("show", "experiment.ts", "--step", "1", "--seed", "7");
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^step 1 with seed 7: 4 queries × 1 passage\n/);
    expect(stdout.match(/^query /gm)).toHaveLength(4);
    expect(stdout.match(/^ {2}judged collection\/qrels\/test\.tsv:\d+ /gm)).toHaveLength(4);
    const again = await quarry("show", "experiment.ts", "--step", "1", "--seed", "7");
    expect(again.stdout).toBe(stdout);
  });

  test("refuses an experiment that does not train", async () => {
    await writeFile(
      join(folder, "plain.ts"),
      `import { biEncoder, defineExperiment, source } from "quarry";
       export default defineExperiment({ name: "plain", model: biEncoder("./model"),
         evaluate: { data: source({ corpus: "collection", qrels: "collection/qrels/test.tsv" }) } });`,
    );
    const { exitCode, stderr } = await quarry("show", "plain.ts");
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^error: the experiment plain has no train section\nhint: /);
  });
});

test("files on the hub are read from its client's cache, without Python", async () => {
  const hub = join(folder, "hub", "datasets--some--set");
  await mkdir(join(hub, "refs"), { recursive: true });
  await writeFile(join(hub, "refs/main"), "0123abcd");
  await cp(join(folder, "collection"), join(hub, "snapshots/0123abcd"), { recursive: true });
  await writeFile(
    join(folder, "hub.ts"),
    `import { biEncoder, defineExperiment, source } from "quarry";
     const at = "hf://datasets/some/set@main";
     export default defineExperiment({
       name: "hub",
       model: biEncoder("./model"),
       evaluate: {
         data: source({ corpus: at + "/corpus.jsonl", queries: at + "/queries.jsonl", qrels: at + "/qrels/test.tsv" }),
       },
     });`,
  );
  process.env.HF_HUB_CACHE = join(folder, "hub");
  try {
    const { exitCode, stdout, stderr } = await quarry("check", "hub.ts");
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toMatch(/evaluate\.data +96 +12/);
  } finally {
    delete process.env.HF_HUB_CACHE;
  }
});
