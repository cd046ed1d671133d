/** Where the cache lies for whoever names no folder: one place for runs, for scripts and for `quarry cache`. */
import { homedir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { biEncoder, defaultCacheDir, defineExperiment, source } from "../../../src/index.js";
import { Look } from "../../../src/pipeline/data.js";

afterEach(() => vi.unstubAllEnvs());

test("a relative QUARRY_CACHE starts in the working folder, also for an experiment of another folder", () => {
  vi.stubEnv("QUARRY_CACHE", "prepared");
  const evaluate = { data: source({ corpus: "corpus.jsonl", qrels: "qrels.tsv" }) };
  const experiment = defineExperiment({ name: "x", model: biEncoder("some/model"), evaluate }, { baseDir: "/there" });
  expect(defaultCacheDir()).toBe(join(process.cwd(), "prepared"));
  expect(new Look(experiment, {}).cacheDir).toBe(defaultCacheDir());
});

test("without it the cache lies in the user's folder of caches", () => {
  vi.stubEnv("QUARRY_CACHE", "");
  vi.stubEnv("XDG_CACHE_HOME", "/x");
  expect(defaultCacheDir()).toBe("/x/quarry");
  vi.stubEnv("XDG_CACHE_HOME", "");
  expect(defaultCacheDir()).toBe(join(homedir(), ".cache", "quarry"));
});
