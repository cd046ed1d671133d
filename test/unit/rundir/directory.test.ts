/** Run folders: one owner, one configuration, a journal that survives a crash, events that are kept. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { EventStream } from "../../../src/report/events.js";
import { openRunDir } from "../../../src/rundir/directory.js";
import { thisProcess } from "../../../src/rundir/owner.js";

let root: string;
let path: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "quarry-rundir-"));
  path = join(root, "run");
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

const config = { name: "a", train: { args: { learningRate: 2e-5, maxSteps: 10 }, measures: ["nDCG@10"] } };

test("the same configuration resumes with the journal of the earlier process", async () => {
  const first = await openRunDir({ path, config });
  expect(first.isResumed).toBe(false);
  await first.journal.append({ type: "phaseDone", phase: "evaluate-1" });
  await first.close();
  const second = await openRunDir({ path, config: structuredClone(config) });
  expect(second.isResumed).toBe(true);
  expect(second.journal.entries).toMatchObject([{ type: "phaseDone", phase: "evaluate-1" }]);
  await second.close();
});

test("another configuration is refused with each option that differs", async () => {
  await (await openRunDir({ path, config })).close();
  const changed = { name: "a", seed: 7, train: { args: { learningRate: 5e-5, maxSteps: 10 }, measures: ["R@100"] } };
  const thrown = await openRunDir({ path, config: changed }).catch((e) => e);
  expect(thrown.code).toBe("CONFIG");
  expect(thrown.message.replace(path, "runs/a")).toMatchInlineSnapshot(`
    "runs/a holds the results of a different experiment:
      train.args.learningRate: 0.00002 → 0.00005
      train.measures[0]: "nDCG@10" → "R@100"
      seed: (not set) → 7"
  `);
  expect(thrown.hint).toContain("--runDir");
  // The refusal let go of the folder.
  await (await openRunDir({ path, config })).close();
});

test("a file in the place of the folder, or above it, is refused", async () => {
  await writeFile(path, "");
  const refused = { code: "CONFIG", hint: "Choose an empty or new folder with --runDir." };
  await expect(openRunDir({ path, config })).rejects.toMatchObject({
    ...refused,
    message: `${path} cannot be a run folder: it is a file.`,
  });
  await expect(openRunDir({ path: join(path, "below"), config })).rejects.toMatchObject({
    ...refused,
    message: `${join(path, "below")} cannot be a run folder: it lies below a file.`,
  });
});

test("a symbolic link to a folder is followed; one to nothing, or in a circle, is refused", async () => {
  await mkdir(join(root, "elsewhere"));
  await symlink("elsewhere", join(root, "link"));
  await (await openRunDir({ path: join(root, "link", "deep", "run"), config })).close();
  await symlink("nowhere", join(root, "dangling"));
  await symlink("circle", join(root, "circle"));
  const refused = { code: "CONFIG", hint: "Choose an empty or new folder with --runDir." };
  for (const [name, why] of [
    ["dangling", "no folder can be made there, or a symbolic link leads to nothing"],
    ["circle", "its symbolic links lead in a circle"],
  ] as const) {
    for (const place of [join(root, name), join(root, name, "run")]) {
      const message = `${place} cannot be a run folder: ${why}.`;
      await expect(openRunDir({ path: place, config })).rejects.toMatchObject({ ...refused, message });
    }
  }
});

test.skipIf(!existsSync("/proc/self"))("a place where no folder can ever be made is refused at once", async () => {
  const refused = { code: "CONFIG", message: expect.stringContaining("no folder can be made there") };
  await expect(openRunDir({ path: "/proc/nope", config })).rejects.toMatchObject(refused);
});

test("the order in which options are written makes no difference", async () => {
  await (await openRunDir({ path, config: { a: 1, b: { c: 2, d: 3 } } })).close();
  const again = await openRunDir({ path, config: { b: { d: 3, c: 2 }, a: 1 } });
  expect(again.isResumed).toBe(true);
  await again.close();
});

test("what nothing depends on yet may still change, what something depends on may not", async () => {
  const bound = (entries: readonly object[]): string[] => (entries.length === 0 ? [] : ["model"]);
  const first = await openRunDir({ path, config: { model: "a", mine: { topK: 1 } }, bound });
  await first.close();
  const second = await openRunDir({ path, config: { model: "b", mine: { topK: 1 } }, bound });
  expect(second.isResumed).toBe(true);
  await second.journal.append({ type: "stepDone" });
  await second.close();
  const third = await openRunDir({ path, config: { model: "b", mine: { topK: 2 } }, bound });
  await third.close();
  const refused = openRunDir({ path, config: { model: "c", mine: { topK: 2 } }, bound });
  await expect(refused).rejects.toMatchObject({ code: "CONFIG", message: expect.stringContaining("model") });
});

test("a folder with somebody else's files is left alone", async () => {
  await mkdir(path);
  await writeFile(join(path, "thesis.tex"), "");
  const thrown = await openRunDir({ path, config }).catch((e) => e);
  expect(thrown).toMatchObject({ code: "CONFIG", message: expect.stringContaining("thesis.tex") });
  expect(await readdir(path)).toEqual(["thesis.tex"]);
});

test("temporary files and folders of a killed process are swept away", async () => {
  await (await openRunDir({ path, config })).close();
  await mkdir(join(path, "store"));
  await writeFile(join(path, "store", ".x.bin.0123.quarry-tmp"), "half");
  for (const ending of ["tmp", "old"]) {
    await mkdir(join(path, "store", `.index.7.quarry-${ending}`));
    await writeFile(join(path, "store", `.index.7.quarry-${ending}`, "index.faiss"), "half");
  }
  await (await openRunDir({ path, config })).close();
  expect(await readdir(join(path, "store"))).toEqual([]);
});

test("what another process writes that reaches for the folder this very moment is left to it", async () => {
  await (await openRunDir({ path, config })).close();
  const candidate = join(path, ".run.lock.0123.quarry-tmp");
  await writeFile(candidate, JSON.stringify(thisProcess()));
  await (await openRunDir({ path, config })).close();
  expect(existsSync(candidate)).toBe(true);
});

test("JSON files come back, an absent one as null, a broken one as an error with its name", async () => {
  const run = await openRunDir({ path, config });
  await run.writeJson("deep/metrics.json", { "nDCG@10": 0.645 });
  expect(await run.readJson("deep/metrics.json")).toEqual({ "nDCG@10": 0.645 });
  expect(await run.readJson("nothing.json")).toBeNull();
  await writeFile(run.file("broken.json"), '{"a":');
  expect(await run.readJson("broken.json").catch((e) => e)).toMatchObject({
    code: "INTEGRITY",
    message: expect.stringContaining("broken.json"),
  });
  await run.close();
});

test("no name leads out of the folder", async () => {
  const run = await openRunDir({ path, config });
  expect(() => run.file("..", "other")).toThrow("outside");
  expect(() => run.file("/etc/passwd")).toThrow("outside");
  expect(run.file("..but-inside")).toBe(join(path, "..but-inside"));
  await run.close();
});

test("events are kept one a line, and a torn last line of an earlier process harms nothing", async () => {
  await (await openRunDir({ path, config })).close();
  await writeFile(join(path, "events.jsonl"), '{"type":"warning","message":"whole"}\n{"type":"war');
  const run = await openRunDir({ path, config });
  const events = new EventStream();
  run.recordEvents(events);
  events.emit({ type: "checkpoint", step: 3, path: "checkpoint-3" });
  await run.close();
  const lines = (await readFile(join(path, "events.jsonl"), "utf8")).trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { type: "warning", message: "whole" },
    { type: "checkpoint", step: 3 },
  ]);
});

test("events that wait are written when the folder is closed, and later ones are ignored", async () => {
  const run = await openRunDir({ path, config });
  const events = new EventStream();
  run.recordEvents(events);
  events.emit({ type: "checkpoint", step: 1, path: "checkpoint-1" });
  await run.close();
  events.emit({ type: "checkpoint", step: 2, path: "checkpoint-2" });
  expect((await readFile(join(path, "events.jsonl"), "utf8")).trimEnd().split("\n")).toHaveLength(1);
});

test("of a file that many parts of a run change at once nothing is lost, also when one of them fails", async () => {
  const run = await openRunDir({ path, config });
  const add = (name: string) => run.updateJson<object>("sizes.json", (before) => ({ ...before, [name]: name.length }));
  const fails = run.updateJson("sizes.json", () => {
    throw new Error("no size");
  });
  const written = await Promise.all([add("a"), expect(fails).rejects.toThrow("no size"), add("bb"), add("ccc")]);
  expect(written[3]).toEqual({ a: 1, bb: 2, ccc: 3 });
  expect(await run.readJson("sizes.json")).toEqual({ a: 1, bb: 2, ccc: 3 });
  await run.close();
});

test("environment.json gathers what becomes known bit by bit", async () => {
  const run = await openRunDir({ path, config });
  await Promise.all([
    run.recordEnvironment({ seed: 42, python: { torch: "2.13.0" }, data: { train: "aa" } }),
    run.recordEnvironment({ data: { test: "bb" }, models: { minilm: "cc" } }),
  ]);
  expect(await run.readJson("environment.json")).toMatchObject({
    quarry: expect.stringMatching(/^\d+\.\d+\.\d+/),
    node: process.versions.node,
    seed: 42,
    python: { torch: "2.13.0" },
    data: { train: "aa", test: "bb" },
    models: { minilm: "cc" },
  });
  await run.close();
});
