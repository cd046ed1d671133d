/** Files of the hub: which URLs are understood, where they lie in the cache, what is told when they do not. */
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  checkFetched,
  hubCacheDir,
  hubFilesOf,
  locate,
  missingHubFiles,
  parseHubUrl,
} from "../../../../src/data/hub.js";
import { newCollection, sourceOf } from "../collection.js";

/** Also read by test/py/fetch, where the hub's own client looks for the same files. */
const { files, cases } = JSON.parse(
  readFileSync(join(import.meta.dirname, "../../../py/fetch/hub-cache.json"), "utf8"),
) as { files: string[]; cases: { url: string; repo: string; revision: string; path: string; found: string | null }[] };

function newCache(): string {
  const { dir } = newCollection();
  for (const each of files) {
    const at = each.indexOf("=");
    const path = join(dir, each.slice(0, at));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, each.slice(at + 1));
  }
  return dir;
}

test.each(cases)("$url is taken apart and found where the hub's client finds it", (expected) => {
  const { url, repo, revision, path, found } = expected;
  const cache = newCache();
  expect(parseHubUrl(url)).toEqual({ url, repo, revision, path });
  expect(locate(parseHubUrl(url), cache)).toBe(found === null ? null : join(cache, found));
});

test("a located file is followed to its blob", () => {
  const cache = newCache();
  const snapshot = join(cache, "datasets--org--set/snapshots/c1/corpus.jsonl");
  const blob = join(cache, "datasets--org--set/blobs/abc");
  mkdirSync(dirname(blob));
  writeFileSync(blob, "one");
  rmSync(snapshot);
  symlinkSync("../../blobs/abc", snapshot);
  const file = parseHubUrl("hf://datasets/org/set/corpus.jsonl");
  expect(locate(file, cache)).toBe(snapshot);
  rmSync(blob);
  expect(locate(file, cache)).toBeNull();
});

describe("what is no file of a data set is a CONFIG error", () => {
  test.each([
    "hf://org/model/file.json",
    "hf://datasets/org/set",
    "hf://datasets/org/set/",
    "hf://datasets/org/set@main",
    "hf://datasets/org/set@main/",
    "hf://datasets/org/set@/x",
    "hf://datasets/org/set@a@b/x",
    "hf://datasets/org/set@..%2Fx/y",
    "hf://datasets/org/set@%2Fetc/y",
    "hf://datasets/org/set@a..b/y",
    "hf://datasets/org/set@%/y",
    "hf://datasets/../../etc/passwd",
    "hf://datasets/org/set/../../x",
    "hf://datasets/org/set//x",
    "hf://datasets/org/set/./x",
    "hf://datasets/org/set/a\\..\\b",
    "hf://datasets/org/set/a\0b",
    "hf://datasets/org--x/set/x",
    "hf://datasets/org/.set/x",
    "hf://datasets/org/set.git/x",
    "hf://datasets//set/x",
  ])("%s", (url) => {
    expect(() => parseHubUrl(url)).toThrow(expect.objectContaining({ code: "CONFIG" }) as Error);
  });
});

test("the cache is where the hub's client has it", () => {
  const home = { HOME: "/home/a" };
  expect(hubCacheDir(home)).toBe("/home/a/.cache/huggingface/hub");
  expect(hubCacheDir({ ...home, XDG_CACHE_HOME: "/x" })).toBe("/x/huggingface/hub");
  expect(hubCacheDir({ ...home, XDG_CACHE_HOME: "/x", HF_HOME: "~/hf" })).toBe("/home/a/hf/hub");
  expect(hubCacheDir({ ...home, HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old" })).toBe("/old");
  expect(hubCacheDir({ ...home, HUGGINGFACE_HUB_CACHE: "/old", HF_HUB_CACHE: "$HOME/new", HF_HOME: "/h" })).toBe(
    "/home/a/new",
  );
  expect(hubCacheDir({ ...home, HF_HUB_CACHE: "${NOBODY}/c" })).toBe(join(process.cwd(), "${NOBODY}/c"));
});

test("all files of sources are listed once, and what is missing of them", () => {
  const cache = newCache();
  const url = (path: string): string => `hf://datasets/org/set/${path}`;
  const sources = [
    sourceOf({
      corpus: [url("corpus.jsonl"), "local.jsonl"],
      queries: { path: url("queries.jsonl"), part: "all", scores: "labels" },
    }),
    sourceOf({
      corpus: url("corpus.jsonl"),
      queries: "q.jsonl",
      qrels: [url("qrels.tsv")],
      querySubset: url("ids.txt"),
    }),
  ];
  const listed = hubFilesOf(sources);
  expect(listed.map(({ path }) => path)).toEqual(["corpus.jsonl", "queries.jsonl", "qrels.tsv", "ids.txt"]);
  const missing = missingHubFiles(listed, cache);
  expect(missing.map(({ path }) => path)).toEqual(["queries.jsonl", "qrels.tsv", "ids.txt"]);
  expect(() => hubFilesOf([sourceOf({ corpus: url("corpus.jsonl"), qrels: "a.tsv" })])).toThrow(/queries .* not named/);
});

test("an answer without missing files passes, any other one is an error that lists them", () => {
  const listed = [parseHubUrl("hf://datasets/org/set/a"), parseHubUrl("hf://datasets/org/set/b")];
  const fetched = listed.map(({ url }) => ({ url, path: "/x" }));
  expect(() => checkFetched(listed, { fetched, missing: [] })).not.toThrow();
  const missing = listed.map(({ url }) => ({ url, reason: "no such file" }));
  const check = (): void => checkFetched(listed, { fetched: [], missing });
  expect(check).toThrow(
    expect.objectContaining({
      code: "ENVIRONMENT",
      message: expect.stringMatching(/2 files of the hub are missing[^]*set\/a: no such file[^]*set\/b/),
      hint: expect.stringContaining("hf download --repo-type dataset org/set a --revision main"),
    }) as Error,
  );
});
