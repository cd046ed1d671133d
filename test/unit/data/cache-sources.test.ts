/** Which change of a source file builds what anew: content counts, not names, times or places. */
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { prepareSource } from "../../../src/data/index.js";
import { type Collection, newCollection, passages, qrels, queries, sourceOf } from "./collection.js";

const files = {
  "corpus.jsonl": passages(20),
  "queries.jsonl": queries(5),
  "one.tsv": qrels([
    ["q0", "d1", 1],
    ["q1", "d2", 1],
  ]),
  "two.tsv": qrels([
    ["q2", "d3", 2],
    ["q3", "d4", 1],
  ]),
};
const judged = sourceOf({ qrels: ["one.tsv", "two.tsv"] });

async function read({ context }: Collection, source = judged): Promise<string> {
  const opened = await prepareSource(source, context);
  try {
    return [opened.passages.text(7), opened.queries.text(0), opened.qrels?.annotated(2).scores.join()].join(" | ");
  } finally {
    opened.close();
  }
}

/** When each entry appeared; a build makes a new one. */
function entries({ cacheDir }: Collection): Map<string, bigint> {
  const names = readdirSync(cacheDir).filter((name) => name !== "sources");
  return new Map(names.map((name) => [name, statSync(join(cacheDir, name, "manifest.json"), { bigint: true }).ino]));
}

/** Kinds that were built between two looks. */
function builtSince(before: Map<string, bigint>, collection: Collection): string[] {
  return [...entries(collection)]
    .filter(([name, inode]) => before.get(name) !== inode)
    .map(([name]) => name.slice(0, name.indexOf("-")))
    .sort();
}

/** Files are remembered by their times only when they have been quiet for two seconds. */
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 2100));

describe("a source that changes", () => {
  test("in place, with the size and the modification time it had, is read anew", async () => {
    const collection = newCollection(files);
    const path = join(collection.dir, "corpus.jsonl");
    utimesSync(path, 1, 1);
    await settle();
    await read(collection);
    // Now it is remembered; the time of the last status change gives the edit away.
    const { atime, mtime, size } = statSync(path);
    writeFileSync(path, readFileSync(path, "utf8").replace("text of d7", "TEXT of d7"));
    utimesSync(path, atime, mtime);
    expect(statSync(path)).toMatchObject({ size, mtime });
    expect(await read(collection)).toContain("TEXT of d7");
  });

  test("several times within one tick of the clock is read anew each time", async () => {
    const collection = newCollection(files);
    for (let edit = 0; edit < 10; edit += 1) {
      writeFileSync(join(collection.dir, "corpus.jsonl"), passages(20).replace("text of d7", `text no. ${edit} `));
      expect(await read(collection)).toContain(`text no. ${edit} `);
    }
  });

  test("by a rename over it is read anew, also when size and times are equal", async () => {
    const collection = newCollection(files);
    const path = join(collection.dir, "corpus.jsonl");
    const other = collection.write("other.jsonl", files["corpus.jsonl"].replace("text of d7", "TEXT of d7"));
    utimesSync(path, 1, 1);
    utimesSync(other, 1, 1);
    await settle();
    await read(collection);
    renameSync(other, path);
    expect(await read(collection)).toContain("TEXT of d7");
  });

  test("by a symbolic link that turns to another file is read anew, and equal files behind links are one entry", async () => {
    const collection = newCollection(files);
    const link = join(collection.dir, "linked", "corpus.jsonl");
    mkdirSync(join(link, ".."));
    symlinkSync(join(collection.dir, "corpus.jsonl"), link);
    const source = { ...judged, corpus: "linked/corpus.jsonl", queries: "queries.jsonl" };
    await settle();
    await read(collection);
    const before = entries(collection);
    await read(collection, source);
    expect(builtSince(before, collection)).toEqual([]);
    const other = collection.write("other.jsonl", files["corpus.jsonl"].replace("text of d7", "TEXT of d7"));
    rmSync(link);
    symlinkSync(other, link);
    expect(await read(collection, source)).toContain("TEXT of d7");
    expect(await read(collection)).toContain("text of d7");
  });

  test("in its times or its place only, builds nothing", async () => {
    const collection = newCollection(files);
    await read(collection);
    const before = entries(collection);
    for (const name of Object.keys(files)) utimesSync(join(collection.dir, name), 3, 3);
    await read(collection);
    // A copy put in its place: another inode, the same content.
    renameSync(join(collection.dir, "corpus.jsonl"), join(collection.dir, "old.jsonl"));
    writeFileSync(join(collection.dir, "corpus.jsonl"), files["corpus.jsonl"]);
    await read(collection);
    expect(builtSince(before, collection)).toEqual([]);
  });

  test("by going away is a CONFIG error that names it, with entries in the cache or without", async () => {
    const collection = newCollection(files);
    await read(collection);
    rmSync(join(collection.dir, "two.tsv"));
    await expect(read(collection)).rejects.toMatchObject({
      code: "CONFIG",
      message: `${join(collection.dir, "two.tsv")}: no such file.`,
    });
  });
});

test("a source that is a pipe, a device or a folder is refused at once", async () => {
  const collection = newCollection(files);
  collection.write("folder.jsonl/file", "");
  for (const [corpus, queriesFile] of [
    ["/dev/null", "queries.jsonl"],
    ["corpus.jsonl", "/dev/zero"],
  ] as const) {
    await expect(read(collection, { ...judged, corpus, queries: queriesFile })).rejects.toMatchObject({
      code: "CONFIG",
    });
  }
  await expect(read(collection, { ...judged, corpus: "folder.jsonl" })).rejects.toMatchObject({ code: "CONFIG" });
});

describe("only what depends on a file is built when it changes", () => {
  test.each([
    ["touched queries build nothing", "queries.jsonl", files["queries.jsonl"], []],
    ["changed queries build the queries and the judgements over them", "queries.jsonl", queries(6), ["qrels", "texts"]],
    ["a changed corpus builds the corpus and the judgements over it", "corpus.jsonl", passages(21), ["qrels", "texts"]],
    ["one changed file of judgements builds the judgements", "two.tsv", qrels([["q2", "d5", 4]]), ["qrels"]],
  ])("%s", async (_, name, content, built) => {
    const collection = newCollection(files);
    await read(collection);
    const before = entries(collection);
    collection.write(name, content);
    await read(collection);
    expect(builtSince(before, collection)).toEqual(built);
  });

  test("options of the algebra build nothing", async () => {
    const collection = newCollection(files);
    await read(collection);
    const before = entries(collection);
    const options = [{ minScore: 2 }, { maxScore: 2 }, { groupRandomK: 1 }, { groupTopK: 1 }, { scoreTransform: 3 }];
    for (const each of options) await read(collection, { ...judged, ...each });
    expect(builtSince(before, collection)).toEqual([]);
  });
});
