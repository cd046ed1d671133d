/** Policies of the validation: what they leave out counts nowhere, what they say is told with its places, and a changed one reads nothing again. */
import { readdirSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { DEFAULT_VALIDATION } from "../../../src/data/findings.js";
import { prepareSource } from "../../../src/data/index.js";
import { openSource } from "../../../src/data/source.js";
import type { DataContext } from "../../../src/data/types.js";
import { openTrainingSet } from "../../../src/data/views/open-training-set.js";
import type { SearchDataConfig, ValidationConfig } from "../../../src/experiment/schema.js";
import { type Collection, jsonLines, newCollection, passages, qrels, queries, sourceOf } from "./collection.js";

const files = {
  "corpus.jsonl": passages(6),
  "queries.jsonl": queries(3),
  "qrels.tsv": qrels([
    ["q0", "d0", 1],
    ["q1", "d1", 1],
    ["q2", "d2", 1],
  ]),
};
const judged = sourceOf({ qrels: "qrels.tsv" });

function under({ context }: Collection, policies: Partial<ValidationConfig>): DataContext {
  return { ...context, validation: { ...DEFAULT_VALIDATION, ...policies } };
}

function entryNames({ cacheDir }: Collection): string[] {
  return readdirSync(cacheDir)
    .filter((name) => name !== "sources")
    .sort();
}

describe("empty queries under drop", () => {
  const some = jsonLines([
    { _id: "q0", text: "what is 0?" },
    { _id: "q1", text: "" },
    { _id: "q2", text: "what is 2?" },
  ]);

  test("have no judgements and are not encoded; under warn they stay", async () => {
    const collection = newCollection({ ...files, "queries.jsonl": some });
    const rowsUnder = async (emptyTexts: "warn" | "drop", source = judged): Promise<number[][]> => {
      const { qrels: kept, encodableQueries, close } = await prepareSource(source, under(collection, { emptyTexts }));
      close();
      return [[...(kept?.queryRows ?? [])], [...encodableQueries]];
    };
    expect(await rowsUnder("warn")).toEqual([
      [0, 1, 2],
      [0, 1, 2],
    ]);
    expect(await rowsUnder("drop")).toEqual([
      [0, 2],
      [0, 2],
    ]);
    collection.write("subset.txt", "q1\nq2\n");
    expect(await rowsUnder("drop", { ...judged, querySubset: "subset.txt" })).toEqual([[2], [0, 2]]);
    expect(await rowsUnder("drop", sourceOf({ queries: "queries.jsonl" }))).toEqual([[], [0, 2]]);
  });

  test("form no group of a training set, and change its fingerprint", async () => {
    const collection = newCollection({ ...files, "queries.jsonl": some });
    const groupsUnder = async (emptyTexts: "warn" | "drop"): Promise<{ queries: number[]; fingerprint: string }> => {
      const set = await openTrainingSet(
        { kind: "binary", positives: judged, negativesPerQuery: 0, tooFew: "fewer" } as never,
        under(collection, { emptyTexts }),
      );
      const found = Array.from({ length: set.queryCount }, (_, index) => set.group(index, 0).query).sort();
      set.close();
      return { queries: found, fingerprint: set.fingerprint };
    };
    const [kept, dropped] = [await groupsUnder("warn"), await groupsUnder("drop")];
    expect([kept.queries, dropped.queries]).toEqual([
      [0, 1, 2],
      [0, 2],
    ]);
    expect(kept.fingerprint).not.toBe(dropped.fingerprint);
  });

  test("are left out of several sources under one numbering", async () => {
    const collection = newCollection({
      ...files,
      "other/queries.jsonl": some.replaceAll("q", "r"),
      "other/corpus.jsonl": passages(3, "e"),
    });
    const other = sourceOf({ corpus: "other/corpus.jsonl", queries: "other/queries.jsonl" });
    const both = { kind: "combined", sources: [judged, other], merge: "last" } satisfies SearchDataConfig;
    const { encodableQueries, close } = await prepareSource(both, under(collection, { emptyTexts: "drop" }));
    expect([...encodableQueries]).toEqual([0, 1, 2, 3, 5]);
    close();
  });
});

describe("a file of bad lines alone", () => {
  const bad = Array.from({ length: 12 }, (_, row) => `{"_id":"x${row}"}\n`).join("");

  test.each([
    ["corpus.jsonl", bad, "12 lines cannot be read", "No record is left in the file."],
    [
      "qrels.tsv",
      "query-id\tcorpus-id\tscore\nq0\td0\tyes\nq1\td1\tno\n",
      "2 lines",
      "No judgement is left in the file.",
    ],
    ["subset.txt", "a b\n".repeat(12), "12 lines", "No query id is left in the file."],
  ])("%s is an error with the count and the first ten of them", async (name, content, counted, rest) => {
    const collection = newCollection({ ...files, "subset.txt": "q0\n", [name]: content });
    const failed = await openSource(
      { ...judged, querySubset: { path: "subset.txt", format: "ids", part: "all", scores: "labels" } },
      under(collection, { badLines: "drop" }),
    ).catch((thrown: unknown) => thrown);
    expect(failed).toMatchObject({ code: "DATA", message: expect.stringContaining(counted) });
    const { message } = failed as Error;
    expect(message).toContain(rest);
    expect(message.match(new RegExp(`\\n  \\S*${name}:\\d+: .`, "g"))).toHaveLength(
      Math.min(10, counted === "2 lines" ? 2 : 10),
    );
  });

  test("beside a good one is told without that one's", async () => {
    const collection = newCollection({ ...files, "more.jsonl": bad });
    collection.write("corpus.jsonl", `${passages(6)}{bad\n`);
    const source = sourceOf({ corpus: ["corpus.jsonl", "more.jsonl"] });
    await expect(openSource(source, under(collection, { badLines: "warn" }))).rejects.toMatchObject({
      message: expect.stringMatching(/more\.jsonl: 12 lines cannot be read/),
    });
  });
});

describe("the policy of bad lines", () => {
  const subset = { ...judged, querySubset: "subset.txt" };

  test("changed over sound files builds nothing and leaves the fingerprint as it is, either way", async () => {
    for (const policies of [
      ["error", "drop", "warn"],
      ["warn", "error", "drop"],
    ] as const) {
      const collection = newCollection({ ...files, "subset.txt": "q0\nq1\n" });
      const seen: unknown[] = [];
      for (const badLines of policies) {
        const { fingerprint, close } = await prepareSource(subset, under(collection, { badLines }));
        close();
        seen.push([fingerprint, entryNames(collection)]);
      }
      expect(seen).toEqual([seen[0], seen[0], seen[0]]);
      expect(entryNames(collection)).toHaveLength(4);
    }
  });

  test("error stops at bad lines that an earlier policy left out, with all of them and without a rebuild", async () => {
    const collection = newCollection({ ...files, "corpus.jsonl": `${passages(6)}{bad\n{worse\n` });
    (await prepareSource(judged, under(collection, { badLines: "drop" }))).close();
    const before = entryNames(collection);
    await expect(prepareSource(judged, collection.context)).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringMatching(/2 lines cannot be read:\n.*corpus\.jsonl:7: .*\n.*corpus\.jsonl:8: /),
      hint: expect.stringContaining("validation.badLines"),
    });
    expect(entryNames(collection)).toEqual(before);
    const fresh = newCollection({ ...files, "corpus.jsonl": `${passages(6)}{bad\n{worse\n` });
    await expect(prepareSource(judged, fresh.context)).rejects.toMatchObject({
      message: expect.stringMatching(/corpus\.jsonl:7: /),
    });
  });
});

test("judgements that all name unknown ids are told as such, not as filtered out", async () => {
  const swapped = qrels([
    ["d0", "q0", 1],
    ["d1", "q1", 1],
  ]);
  const collection = newCollection({ ...files, "qrels.tsv": swapped });
  await expect(prepareSource(judged, under(collection, { danglingIds: "drop" }))).rejects.toMatchObject({
    code: "DATA",
    message: expect.stringContaining("qrels.tsv: all 2 judgements name unknown ids."),
    hint: expect.stringContaining("swapped"),
  });
  collection.write("qrels.tsv", files["qrels.tsv"]);
  await expect(prepareSource({ ...judged, minScore: 5 }, collection.context)).rejects.toMatchObject({
    message: expect.stringContaining("no judgement is left after the filters"),
  });
});

test("what a file is packed with is told by its bytes: a plain one named .gz and a packed one named otherwise are read", async () => {
  const collection = newCollection({
    ...files,
    "plain.jsonl.gz": passages(6),
    "packed.jsonl": gzipSync(passages(6).replaceAll("text of", "words of")),
  });
  const firstText = async (corpus: string): Promise<string> => {
    const { passages: table, close } = await openSource(sourceOf({ corpus }), collection.context);
    const text = table.text(0);
    close();
    return text;
  };
  expect(await firstText("plain.jsonl.gz")).toBe("text of d0");
  expect(await firstText("packed.jsonl")).toBe("words of d0");
});
