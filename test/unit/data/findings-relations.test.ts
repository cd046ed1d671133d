/** What positives and negatives must not share: found exactly, told with places, left out as the policy says. */
import { existsSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DEFAULT_VALIDATION, type Finding } from "../../../src/data/findings.js";
import { listCache, pruneCache } from "../../../src/data/index.js";
import { openSources } from "../../../src/data/source.js";
import { TextPool } from "../../../src/data/texts/text-pool.js";
import type { DataContext } from "../../../src/data/types.js";
import { openRelations, type Relations } from "../../../src/data/views/relations.js";
import type { SearchDataConfig, SourceConfig, ValidationConfig } from "../../../src/experiment/schema.js";
import { type Collection, jsonLines, newCollection, qrels, queries, sourceOf } from "./collection.js";

interface Compared {
  readonly relations: Relations;
  readonly findings: Finding[];
  readonly excluded: [query: string, passage: string][];
}

async function compare(
  { context }: Collection,
  positives: readonly SourceConfig[],
  negatives: readonly SourceConfig[],
  validation: Partial<ValidationConfig> = {},
): Promise<Compared> {
  const findings: Finding[] = [];
  const all: DataContext = {
    ...context,
    validation: { ...DEFAULT_VALIDATION, ...validation },
    onFinding: (finding) => findings.push(finding),
  };
  const place = { queries: new TextPool(), passages: new TextPool(), stream: 0 };
  const combined = (sources: readonly SourceConfig[]): SearchDataConfig => ({
    kind: "combined",
    sources: [...sources],
    merge: "last",
  });
  const wanted = await openSources(combined(positives), all, place);
  const unwanted = await openSources(combined(negatives), all, place);
  const relations = await openRelations(wanted, unwanted, all);
  const excluded = [...relations.queries].flatMap((query) =>
    [...relations.excludedNegatives(query)].map((passage): [string, string] => [
      place.queries.id(query),
      place.passages.id(passage),
    ]),
  );
  wanted.close();
  unwanted.close();
  return { relations, findings, excluded };
}

const small = {
  "corpus.jsonl": jsonLines([
    { _id: "a", text: "one" },
    { _id: "b", text: "two" },
    { _id: "c", text: "two" },
    { _id: "d", title: "t", text: "two" },
    { _id: "e", text: "five" },
  ]),
  "queries.jsonl": queries(3),
  "train.tsv": qrels([
    ["q0", "a", 1],
    ["q1", "b", 2],
    ["q2", "e", 1],
  ]),
  "mined.tsv": qrels([
    ["q0", "b", 9],
    ["q0", "a", 8],
    ["q1", "c", 7],
    ["q1", "d", 6],
    ["q2", "a", 5],
  ]),
};

describe("positives and negatives", () => {
  const [train, mined] = [sourceOf({ qrels: "train.tsv" }), sourceOf({ qrels: "mined.tsv" })];

  test("that name the same passage, or passages with the same title and text, are told with both places", async () => {
    const collection = newCollection(small);
    const { findings, excluded } = await compare(collection, [train], [mined]);
    const at = (line: number) => `${join(collection.dir, "mined.tsv")}:${line}`;
    expect(findings).toMatchObject([
      {
        kind: "contradictions",
        subject: "mined.tsv against train.tsv",
        count: 1,
        examples: [{ place: at(3), detail: 'passage "a" of query "q0" is positive too (train.tsv:2)' }],
      },
      {
        kind: "duplicateTexts",
        count: 1,
        examples: [
          { place: at(4), detail: 'passage "c" of query "q1" has the text of the positive "b" (train.tsv:3)' },
        ],
      },
    ]);
    expect(excluded).toEqual([["q0", "a"]]);
    expect(collection.warnings).toHaveLength(2);
  });

  test("are freed of copies under the policy drop, without a warning", async () => {
    const collection = newCollection(small);
    const drop = { contradictions: "drop", duplicateTexts: "drop" } as const;
    const { excluded } = await compare(collection, [train], [mined], drop);
    expect(excluded).toEqual([
      ["q0", "a"],
      ["q1", "c"],
    ]);
    expect(collection.warnings).toEqual([]);
  });

  test.each(["contradictions", "duplicateTexts"] as const)("stop under the policy error: %s", async (kind) => {
    const opening = compare(newCollection(small), [train], [mined], { [kind]: "error" });
    await expect(opening).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringContaining("mined.tsv against train.tsv: 1 negative "),
      hint: expect.stringContaining(`validation.${kind}`),
    });
  });

  test("of one file, told apart by scores, meet only where both ranges do", async () => {
    const collection = newCollection(small);
    const file = (options: Partial<SourceConfig>) => sourceOf({ qrels: "mined.tsv", ...options });
    const apart = await compare(collection, [file({ minScore: 7 })], [file({ maxScore: 7 })]);
    expect(apart.findings.map(({ kind }) => kind)).toEqual([]);
    const overlapping = await compare(collection, [file({ minScore: 7 })], [file({ maxScore: 9 })]);
    expect(overlapping.excluded).toEqual([
      ["q0", "a"],
      ["q1", "c"],
    ]);
  });

  test("leave an entry in the cache that no option of the algebra and no policy touches", async () => {
    const collection = newCollection(small);
    const entries = () =>
      readdirSync(collection.cacheDir)
        .filter((name) => name.startsWith("relations-"))
        .map((name) => `${name} ${statSync(join(collection.cacheDir, name, "manifest.json")).ino}`);
    expect(existsSync(collection.cacheDir)).toBe(false);
    await compare(collection, [train], [mined]);
    const built = entries();
    expect(built).toHaveLength(1);
    const narrow = await compare(collection, [train], [{ ...mined, maxScore: 8 }], { duplicateTexts: "drop" });
    expect(narrow.excluded).toEqual([["q1", "c"]]);
    expect(entries()).toEqual(built);
  });

  test("leave an entry that is stale once the judgements of either side changed or are gone", async () => {
    const collection = newCollection(small);
    const root = collection.dir;
    const context = { ...collection.context, cacheDir: join(root, "data") };
    const relations = async () =>
      (await listCache(root)).filter(({ kind }) => kind === "relations").map(({ state }) => state);
    for (const file of ["train.tsv", "mined.tsv"] as const) {
      await compare({ ...collection, context }, [train], [mined]);
      expect(await relations()).toEqual(["complete"]);
      collection.write(file, `${small[file]}q0\ta\t3\n`);
      expect(await relations()).toEqual(["stale"]);
      collection.write(file, small[file]);
    }
    rmSync(join(root, "mined.tsv"));
    expect((await pruneCache(root, { isStaleRemoved: true })).removed.map(({ kind }) => kind).sort()).toEqual([
      "qrels",
      "relations",
    ]);
  });
});

const TEXTS = ["one", "two", "three"];
const PASSAGES = 12;
const QUERIES = 4;
const triplets = fc.uniqueArray(fc.tuple(fc.nat(QUERIES - 1), fc.nat(PASSAGES - 1), fc.nat(3)), {
  minLength: 1,
  maxLength: 30,
  selector: ([query, passage]) => `${query} ${passage}`,
});
const bound = fc.option(fc.nat(4), { nil: undefined });
const side = fc.array(fc.record({ triplets, minScore: bound, maxScore: bound, file: fc.nat(1) }), {
  minLength: 1,
  maxLength: 2,
});

test("what is found and left out equals a plain comparison of all pairs, whatever files and ranges", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.nat(2), { minLength: PASSAGES, maxLength: PASSAGES }),
      side,
      side,
      fc.boolean(),
      async (texts, wanted, unwanted, isOneFile) => {
        const collection = newCollection({
          "corpus.jsonl": jsonLines(texts.map((text, row) => ({ _id: `d${row}`, text: TEXTS[text] }))),
          "queries.jsonl": queries(QUERIES),
        });
        const open = (name: string, sources: typeof wanted) =>
          sources.map(({ triplets: judged, minScore, maxScore }, index) => {
            const path = isOneFile ? "one.tsv" : `${name}${index}.tsv`;
            const rows = isOneFile ? (wanted[0] as (typeof wanted)[number]).triplets : judged;
            collection.write(path, qrels(rows.map(([q, d, score]) => [`q${q}`, `d${d}`, score])));
            const kept = rows.filter(([, , score]) => score >= (minScore ?? 0) && score < (maxScore ?? 9));
            const range = {
              ...(minScore === undefined ? {} : { minScore }),
              ...(maxScore === undefined ? {} : { maxScore }),
            };
            return { config: sourceOf({ qrels: path, ...range }), kept };
          });
        const positives = open("positives", wanted);
        const negatives = open("negatives", unwanted);
        const pairsOf = (sources: typeof positives) =>
          new Set(sources.flatMap(({ kept }) => kept.map(([q, d]) => `q${q} d${d}`)));
        const [positive, negative] = [pairsOf(positives), pairsOf(negatives)];
        const both = [...negative].filter((pair) => positive.has(pair));
        const copies = [...negative].filter((pair) => {
          if (positive.has(pair)) return false;
          const [q = "", d = ""] = pair.split(" ");
          return texts.some((text, row) => text === texts[Number(d.slice(1))] && positive.has(`${q} d${row}`));
        });
        const found = await compare(
          collection,
          positives.map(({ config }) => config),
          negatives.map(({ config }) => config),
          { duplicateTexts: "drop" },
        );
        const counts = Object.fromEntries(found.findings.map(({ kind, count }) => [kind, count]));
        expect(counts).toEqual({
          ...(both.length === 0 ? {} : { contradictions: both.length }),
          ...(copies.length === 0 ? {} : { duplicateTexts: copies.length }),
        });
        expect(found.excluded.map((pair) => pair.join(" ")).sort()).toEqual([...both, ...copies].sort());
      },
    ),
    { numRuns: 25 },
  );
});
