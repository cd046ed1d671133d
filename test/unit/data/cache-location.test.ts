/** Where the cache lies for whoever names no folder: one place for runs, for scripts and for `quarry cache`. */
import { homedir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { runCommandLine } from "../../../src/cli/program.js";
import { hubCacheDir } from "../../../src/data/hub.js";
import { biEncoder, defaultCacheDir, defineExperiment, source } from "../../../src/index.js";
import { Look } from "../../../src/pipeline/data.js";
import { asOther, canBeOther } from "../../fixtures/other-user.js";

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

test.skipIf(!canBeOther)("where nothing tells a home folder, a cache that is named needs none", async () => {
  vi.stubEnv("QUARRY_CACHE", "");
  vi.stubEnv("XDG_CACHE_HOME", "");
  vi.stubEnv("HOME", undefined);
  const written: string[] = [];
  for (const name of ["stdout", "stderr"] as const) {
    vi.spyOn(process[name], "write").mockImplementation((text) => written.push(String(text)) > 0);
  }
  const statuses = await asOther(
    // The modules are loaded: another user may not read them.
    async () => [
      await runCommandLine(["cache", "list", "--cache", "/nowhere"]),
      await runCommandLine(["cache", "list"]),
    ],
    4_000_000,
  );
  vi.restoreAllMocks();
  expect(statuses).toEqual([0, 4]);
  expect(written.join("")).toBe(
    "The cache /nowhere is empty.\n" +
      "error: HOME is not set, and the system knows no home folder of this user.\n" +
      "hint: Set QUARRY_CACHE to a folder, or HOME.\n",
  );
  expect(hubCacheDir({ HF_HOME: "/hub" })).toBe("/hub/hub");
});
