/** Which folders are suites, and what is said before any process starts where they cannot be compared. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CompareSuitesOptions, compareRuns, compareSuites, holdsSuite } from "../../../src/index.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "quarry-suites-"));
  const evaluations = [
    ...["a/evaluate-base/one", "a/evaluate-base/two", "b/evaluate-checkpoint-9/two", "c/evaluate-base/three"],
    ...["again/evaluate-base/one", "again/evaluate-base/two", "again/evaluate-base+rerank/one"],
    ...["both/evaluate-base/one", "both/evaluate-run"],
    ...["plain/evaluate-base", "several/evaluate-base", "several/evaluate-base+rerank"],
    ...["step-1/evaluate-base", "mine/first", "mine/second"],
  ];
  for (const each of evaluations) {
    mkdirSync(join(folder, each), { recursive: true });
    for (const file of ["run.trec", "qrels.trec"]) writeFileSync(join(folder, each, file), "");
  }
  mkdirSync(join(folder, "a/search-base-01"));
  writeFileSync(join(folder, "a/search-base-01/run.trec"), "");
  mkdirSync(join(folder, "trained/train/evaluations/step-10/one"), { recursive: true });
  writeFileSync(join(folder, "trained/train/evaluations/step-10/one/per-query.json"), "{}");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const at = (...names: readonly string[]): string[] => names.map((name) => join(folder, name));
const withoutFolder = (text: string | undefined): string | undefined => text?.replaceAll(`${folder}/`, "");

async function refusal(asked: Promise<unknown>): Promise<readonly [message?: string, hint?: string]> {
  const error = await asked.then(
    () => undefined,
    (reason: { code: string; message: string; hint?: string }) => reason,
  );
  expect(error?.code).toBe("CONFIG");
  return [withoutFolder(error?.message), withoutFolder(error?.hint)] as [string, string];
}

test.each([
  ["a", true],
  ["a/evaluate-base", true],
  ["a/evaluate-base/", true],
  ["again", true],
  ["both", true],
  ["trained/train/evaluations/step-10", true],
  ["a/evaluate-base/one", false],
  ["a/evaluate-base/one/run.trec", false],
  ["plain", false],
  ["plain/evaluate-base", false],
  ["several", false],
  ["step-1", false],
  ["mine", false],
  [".", false],
  ["nowhere", false],
])("%s holds a suite: %s", async (name, expected) => {
  expect(await holdsSuite(join(folder, name))).toBe(expected);
});

describe("compareSuites refuses", () => {
  test("a folder with several evaluations, naming them; one of them can be given", async () => {
    expect(await refusal(compareSuites(at("a", "again")))).toEqual([
      "again: holds 2 evaluations.",
      "Name one of again/evaluate-base, again/evaluate-base+rerank.",
    ]);
    expect(await refusal(compareSuites(at("a", "both")))).toEqual([
      "both: holds 2 evaluations.",
      "Name one of both/evaluate-base, both/evaluate-run.",
    ]);
    expect((await refusal(compareSuites(at("again/evaluate-base+rerank", "c"))))[0]).toBe(
      "the runs have no data set in common: again/evaluate-base+rerank has one; c has three.",
    );
  });

  test("what is no suite, a single one, judgements, and options that cannot be", async () => {
    expect((await refusal(compareSuites(at("a", "plain"))))[0]).toBe(
      "plain: holds no evaluation of several data sets.",
    );
    expect((await refusal(compareSuites(at("a"))))[0]).toBe("a comparison needs two runs or more.");
    const judged = { qrels: "qrels.tsv" } as CompareSuitesOptions;
    expect((await refusal(compareSuites(at("a", "b"), judged)))[0]).toBe(
      "qrels: each data set of a suite has judgements of its own.",
    );
    expect((await refusal(compareSuites(at("a", "b"), { top: -1 })))[0]).toContain("top: expected a whole number");
  });
});

describe("compareRuns", () => {
  test("names the data sets of a suite beside a run of one", async () => {
    expect(await refusal(compareRuns(at("a", "plain")))).toEqual([
      "a: holds 2 evaluations.",
      "Name one of a/evaluate-base/one, a/evaluate-base/two.",
    ]);
    const misspelt = await Promise.all([compareRuns, compareSuites].map((made) => refusal(made(at("a", "bb")))));
    for (const [message] of misspelt) expect(message).toMatch(/^there is no bb /);
  });

  test("takes one data set by name, and says which there are", async () => {
    expect(await refusal(compareRuns(at("a", "plain"), { set: "three" }))).toEqual([
      "a: has no data set three.",
      "It has one, two.",
    ]);
    expect((await refusal(compareRuns(at("again", "a"), { set: "one" })))[1]).toBe(
      "Name one of again/evaluate-base+rerank/one, again/evaluate-base/one.",
    );
    expect((await refusal(compareRuns(at("plain", "plain"), { set: "one" })))[0]).toBe(
      "set: none of the runs has data sets to choose one from.",
    );
  });
});
