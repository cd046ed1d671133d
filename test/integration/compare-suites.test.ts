/** `quarry compare` of suites: every data set they share, and the average, in one call. */
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ComparedMeasure, compareRuns, compareSuites, measureRun } from "../../src/index.js";
import { commandLine } from "../fixtures/command-line.js";

/** At which rank each query's only relevant passage stands. */
const RANKS = {
  "base/evaluate-base": { large: [1, 2, 2, 4, 4, 5, 1, 2, 2, 2], small: [2, 4], gone: [1] },
  "tuned/evaluate-checkpoint-9": { large: [1, 1, 1, 2, 5, 4, 2, 1, 1, 1], small: [1, 1], own: [1] },
  "only/evaluate-base": { small: [1, 2] },
};

let folder = "";
const at = (...names: readonly string[]): string[] => names.map((name) => join(folder, name));
const quarry = (...argv: string[]) => commandLine(argv, { cwd: folder });

async function writeEvaluation(path: string, ranks: readonly number[]): Promise<void> {
  await mkdir(path, { recursive: true });
  const places = Array.from({ length: 6 }, (_, place) => place + 1);
  const lines = ranks.flatMap((rank, query) =>
    places.map((place) => `q${query} Q0 ${place === rank ? "good" : `x${place}`} ${place} ${9 - place} t\n`),
  );
  await writeFile(join(path, "run.trec"), lines.join(""));
  await writeFile(join(path, "qrels.trec"), ranks.map((_, query) => `q${query} 0 good 1\n`).join(""));
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-suites-"));
  for (const [suite, sets] of Object.entries(RANKS)) {
    for (const [set, ranks] of Object.entries(sets)) await writeEvaluation(join(folder, suite, set), ranks);
  }
  await writeEvaluation(join(folder, "alone/evaluate-base"), [1, 2]);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test("has a row for each data set and one for the average, and names what is left out", async () => {
  const { stdout, stderr, exitCode } = await quarry("compare", "base", "tuned", "--measures", "RR,P@1");
  expect(stderr).toBe("");
  expect(exitCode).toBe(0);
  const lines = stdout.split("\n");
  expect(lines.slice(0, 6)).toEqual([
    "2 data sets, 12 queries",
    "gone: left out, not evaluated in tuned",
    "own: left out, not evaluated in base",
    "",
    "base → tuned",
    expect.stringMatching(/^RR +baseline +run +gain +95 % interval +t-test +randomisation +wins +ties +losses$/),
  ]);
  expect(stdout).toMatch(/^large +0\.5200 +0\.7450 +\+0\.2250 .* 7 +1 +2$/m);
  expect(stdout).toMatch(/^small +0\.3750 +1\.0000 +\+0\.6250 .* 2 +0 +0$/m);
  expect(stdout).toMatch(/^average +0\.4475 +0\.8725 +\+0\.4250 .* - +- +-$/m);
  expect(stdout).toMatch(/^P@1 +baseline/m);
  expect(lines.at(-1)).toBe("p in brackets: corrected for 6 comparisons (Holm)");
});

test("each data set has the numbers of a comparison alone, and is compared alone by name", async () => {
  const options = { measures: ["RR", "AP"] };
  const found = await compareSuites(at("base", "tuned/evaluate-checkpoint-9"), options);
  expect(found.leftOut).toEqual([
    { set: "gone", lackedBy: at("tuned/evaluate-checkpoint-9") },
    { set: "own", lackedBy: at("base") },
  ]);
  expect(found.sets.map(({ set, queryCount }) => [set, queryCount])).toEqual([
    ["large", 10],
    ["small", 2],
  ]);
  const uncorrected = ({ tTest, randomisation, ...others }: ComparedMeasure) => ({
    ...others,
    tTest: { ...tTest, pAdjusted: null },
    randomisation: { ...randomisation, pAdjusted: null },
  });
  for (const { set, comparisons } of found.sets) {
    const alone = await compareRuns(at("base", "tuned/evaluate-checkpoint-9"), { ...options, set, top: 0 });
    expect(comparisons.map(uncorrected)).toEqual(alone.comparisons.map(uncorrected));
  }
  const [large, small] = found.sets.map(({ comparisons }) => comparisons[0]);
  expect(found.averages.map(({ measure }) => measure)).toEqual(["RR", "AP"]);
  expect(found.averages[0]?.difference).toBeCloseTo(((large?.difference ?? 0) + (small?.difference ?? 0)) / 2, 12);
  // 9 queries of the one set and 2 of the other differ.
  expect(found.averages[0]?.randomisation).toMatchObject({ isExact: true, samples: 2 ** 11 });
  const { stdout } = await quarry(
    "compare",
    ...at("base", "tuned/evaluate-checkpoint-9"),
    "--measures",
    "RR,AP",
    "--json",
  );
  expect(JSON.parse(stdout)).toEqual(found);
  const byName = await quarry("compare", "base", "alone", "--set", "small", "--measures", "RR");
  expect(byName.stdout).toMatch(/^2 queries\n\nbase → alone\n/);
  expect(byName.stdout).toContain("biggest gains of RR");
});

test("a suite of one data set gives what the plain comparison gives", async () => {
  const { sets, averages } = await compareSuites(at("base", "only"), { top: 5 });
  expect(averages).toEqual([]);
  expect(sets).toEqual([{ set: "small", ...(await compareRuns(at("base", "only"), { set: "small" })) }]);
});

test("tells the queries that moved only where they are asked for, with their data set", async () => {
  expect((await quarry("compare", "base", "tuned", "--measures", "RR")).stdout).not.toContain("biggest");
  const { stdout } = await quarry("compare", "base", "tuned", "only", "--measures", "RR", "--top", "1", "--all-pairs");
  expect(stdout).toMatch(/\nbiggest gains of RR on small \(base → only\)\n.*\n.*\nq0 +0\.5000 +1\.0000 +\+0\.5000\n/);
  expect(stdout).not.toContain("average");
  expect(stdout).toContain("large: left out, not evaluated in only");
});

test("a measure that not all data sets have values of is compared where it is, and has no average", async () => {
  const measures = { large: ["RR", "P@1"], small: ["RR"] };
  for (const [step, suite] of [
    ["step-1", "base/evaluate-base"] as const,
    ["step-2", "tuned/evaluate-checkpoint-9"] as const,
  ]) {
    for (const [set, names] of Object.entries(measures)) {
      const values = await measureRun(join(folder, suite, set), { measures: names });
      await mkdir(join(folder, "train/evaluations", step, set), { recursive: true });
      await writeFile(join(folder, "train/evaluations", step, set, "per-query.json"), JSON.stringify(values));
    }
  }
  const steps = ["train/evaluations/step-1", "train/evaluations/step-2"];
  const { stdout, stderr } = await quarry("compare", ...steps);
  expect(stderr).toBe("");
  expect(stdout).toMatch(/\nRR +baseline.*\n.*\nlarge .*\nsmall .*\naverage .*\n/);
  expect(stdout).toMatch(/\nP@1 +baseline.*\n.*\nlarge .*\nno average: not all runs have values of it on small\n/);
  expect(stdout).toContain("corrected for 4 comparisons");
  const none = await quarry("compare", ...steps, "--measures", "AP");
  expect(none.stderr).toContain("no data set has values of AP in all runs.");
  expect(none.exitCode).toBe(2);
});

test("refuses a suite beside a run of one data set, and data sets that were judged differently", async () => {
  const mixed = await quarry("compare", "base", "alone");
  expect(mixed.exitCode).toBe(2);
  expect(mixed.stderr).toBe(
    "error: base: holds 3 evaluations.\nhint: Name one of base/evaluate-base/gone, base/evaluate-base/large, base/evaluate-base/small.",
  );
  await cp(join(folder, "only"), join(folder, "judged"), { recursive: true });
  await writeFile(join(folder, "judged/evaluate-base/small/qrels.trec"), "q0 0 good 1\n");
  const judged = await quarry("compare", "base", "judged");
  expect(judged.stderr).toMatch(/the runs were judged differently: .*\nhint: .* --set small --qrels <file>\.$/);
  const qrels = ["--qrels", "judged/evaluate-base/small/qrels.trec"];
  expect((await quarry("compare", "base", "judged", ...qrels)).stderr).toContain("--set <name> --qrels <file>");
  const { stdout } = await quarry("compare", "base", "judged", "--set", "small", ...qrels);
  expect(stdout).toMatch(/^1 query\n/);
});

test("whoever listens hears which run is read and what is tested, and errors stay what they were", async () => {
  const heard: string[] = [];
  const options = { measures: ["RR"], onProgress: ({ what }: { readonly what: string }) => heard.push(what) };
  await compareSuites(at("base", "tuned"), options);
  // What comes right behind it is told only where it takes long.
  expect(heard[0]).toMatch(/^reading .*base, 1 of 2$/);
  heard.length = 0;
  await measureRun(join(folder, "alone/evaluate-base"), options);
  expect(heard[0]).toBe("reading the run");
  await writeFile(join(folder, "broken.trec"), "q0 Q0 good 1 9 t\nq1 Q0 good\n");
  const broken = compareRuns(at("alone/evaluate-base", "broken.trec"), options);
  await expect(broken).rejects.toThrow(/broken\.trec:2: not a line of a run/);
});
