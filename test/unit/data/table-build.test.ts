/** Building tables: several files, repeated ids, prompts, empty texts, bad lines; faults counted once, judged at every open. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect, onTestFinished, test } from "vitest";
import type { Finding } from "../../../src/data/findings.js";
import { DEFAULT_VALIDATION } from "../../../src/data/findings.js";
import { asFile } from "../../../src/data/source-files.js";
import { RandomFile } from "../../../src/data/storage/random-file.js";
import { isBlank } from "../../../src/data/texts/blank.js";
import { openTexts } from "../../../src/data/texts/open-texts.js";
import type { StoredTexts } from "../../../src/data/texts/stored-texts.js";
import type { ValidationConfig } from "../../../src/experiment/schema.js";
import { type Collection, jsonLines, newCollection, passages } from "./collection.js";
import { buildTable, recordsFormat } from "./table-records.js";

type Policy = Partial<ValidationConfig>;

async function open(
  collection: Collection,
  names: readonly string[],
  policy: Policy = {},
): Promise<{ table: StoredTexts; findings: Finding[] }> {
  const findings: Finding[] = [];
  const table = await openTexts(
    names.map((name) => asFile(join(collection.dir, name))),
    "corpus",
    {
      ...collection.context,
      validation: { ...DEFAULT_VALIDATION, ...policy },
      onFinding: (finding) => findings.push(finding),
    },
  );
  return { table, findings };
}

test("several files make one table: rows count on, origins name each row's own file and line", async () => {
  const collection = newCollection({
    "a.jsonl": passages(3, "a"),
    "b.jsonl": `\n${passages(2, "b")}`,
    "c.jsonl": passages(1, "c"),
  });
  const { table } = await open(collection, ["a.jsonl", "b.jsonl", "c.jsonl"]);
  const found = Array.from({ length: table.rowCount }, (_, row) => {
    const { file, line } = table.origin(row);
    return [table.id(row), table.rowOf(table.id(row)), file.slice(collection.dir.length + 1), line];
  });
  expect(found).toEqual([
    ["a0", 0, "a.jsonl", 1],
    ["a1", 1, "a.jsonl", 2],
    ["a2", 2, "a.jsonl", 3],
    ["b0", 3, "b.jsonl", 2],
    ["b1", 4, "b.jsonl", 3],
    ["c0", 5, "c.jsonl", 1],
  ]);
  table.close();
});

test("repeated ids are counted exactly, the first ten with their place and that of the first record", async () => {
  const first = jsonLines([
    { _id: "x", text: "one" },
    { _id: "y", text: "two" },
    { _id: "x", text: "three" },
  ]);
  const many = jsonLines(Array.from({ length: 15 }, (_, at) => ({ _id: at % 2 === 0 ? "y" : "z", text: `${at}` })));
  const collection = newCollection({ "a.jsonl": first, "b.jsonl": many });
  await expect(open(collection, ["a.jsonl", "b.jsonl"])).rejects.toMatchObject({
    code: "DATA",
    message: expect.stringMatching(/15 records repeat an id; the first 10:\n.*a\.jsonl:3: "x" \(first in line 1\)\n/),
  });
  const { table, findings } = await open(collection, ["a.jsonl", "b.jsonl"], { duplicateIds: "drop" });
  expect([table.id(0), table.text(0), table.id(2), table.text(2), table.rowCount]).toEqual(["x", "one", "z", "1", 3]);
  const [finding] = findings as [Finding];
  expect([finding.kind, finding.count, finding.examples.length]).toEqual(["duplicateIds", 15, 10]);
  const b = join(collection.dir, "b.jsonl");
  expect(finding.examples.slice(0, 4)).toEqual([
    { place: `${join(collection.dir, "a.jsonl")}:3`, detail: '"x" (first in line 1)' },
    { place: `${b}:1`, detail: `"y" (first in ${join(collection.dir, "a.jsonl")}, line 2)` },
    { place: `${b}:3`, detail: `"y" (first in ${join(collection.dir, "a.jsonl")}, line 2)` },
    { place: `${b}:4`, detail: '"z" (first in line 2)' },
  ]);
  table.close();
});

test("a repeated id names the line of the first record also when that was written to disk long ago", async () => {
  const content = `\n${passages(70_000)}${jsonLines([
    { _id: "d40000", text: "again" },
    { _id: "d1", text: "again" },
  ])}`;
  const { table, findings } = await open(newCollection({ "a.jsonl": content }), ["a.jsonl"], { duplicateIds: "warn" });
  expect(findings[0]?.examples.map(({ detail }) => detail)).toEqual([
    '"d40000" (first in line 40002)',
    '"d1" (first in line 3)',
  ]);
  expect([table.rowCount, table.text(40_000)]).toEqual([70_000, "text of d40000"]);
  table.close();
});

test("another policy for repeated ids and empty texts judges the same entry; nothing is built again", async () => {
  const records = [
    { _id: "x", text: "" },
    { _id: "y", text: "two" },
    { _id: "x", text: "three" },
  ];
  const collection = newCollection({ "a.jsonl": jsonLines(records) });
  const inodes = new Set<number>();
  for (const duplicateIds of ["drop", "warn", "error"] as const) {
    for (const emptyTexts of ["drop", "warn", "error"] as const) {
      const isError = duplicateIds === "error" || emptyTexts === "error";
      const opening = open(collection, ["a.jsonl"], { duplicateIds, emptyTexts });
      if (isError) await expect(opening).rejects.toThrow(/repeats an id|has an empty text/);
      else (await opening).table.close();
      for (const name of readdirSync(collection.cacheDir).filter((each) => each.startsWith("texts-"))) {
        inodes.add(statSync(join(collection.cacheDir, name)).ino);
      }
    }
  }
  expect(inodes.size).toBe(1);
  expect(collection.warnings.filter((each) => each.includes("repeats an id"))).toHaveLength(3);
});

test("empty texts are counted and their rows kept in a file of the entry, however many there are", async () => {
  const count = 40_000;
  const records = Array.from({ length: count }, (_, row) => ({
    _id: `d${row}`,
    text: ["", " \u00a0\n", "t"][row % 3],
  }));
  const { table, findings } = await open(newCollection({ "a.jsonl": jsonLines(records) }), ["a.jsonl"]);
  const expected = records.flatMap(({ text }, row) => (text === "t" ? [] : [row]));
  expect([...table.emptyRows]).toEqual(expected);
  expect(findings.map(({ kind, count: total }) => [kind, total])).toEqual([["emptyTexts", expected.length]]);
  table.close();
});

test("a text of white space alone is empty, whatever the white space, and a character beside it makes it none", () => {
  const unit = fc.constantFrom(" ", "\t", "\n", "\u00a0", "\u1680", "\u2003", "\u2028", "\u3000", "\ufeff");
  const other = fc.constantFrom("", "a", "é", "ß", "\u200b", "한", "あ", "、", "😀", "ﷺ");
  fc.assert(
    fc.property(fc.string({ unit }), other, fc.string({ unit }), (before, character, after) => {
      const bytes = Buffer.from(`x${before}${character}${after}x`);
      expect(isBlank(bytes, 1, bytes.byteLength - 1)).toBe(/^\s*$/.test(before + character + after));
    }),
  );
});

test("lines that cannot be read are left out and counted where the policy says so, and never elsewhere", async () => {
  const collection = newCollection({
    "a.jsonl": `${passages(2, "a")}not json\n${passages(1, "b")}`,
    "b.jsonl": `${passages(1, "c")}{"_id": 7, "text": "t"}\n`,
  });
  const { table, findings } = await open(collection, ["a.jsonl", "b.jsonl"], { badLines: "drop" });
  expect(Array.from({ length: table.rowCount }, (_, row) => table.id(row))).toEqual(["a0", "a1", "b0", "c0"]);
  expect(findings.map(({ kind, count }) => [kind, count])).toEqual([["badLines", 2]]);
  expect(findings[0]?.examples.map(({ place }) => place.slice(collection.dir.length + 1))).toEqual([
    "a.jsonl:3",
    "b.jsonl:2",
  ]);
  expect(table.origin(2).line).toBe(4);
  table.close();
  await expect(open(collection, ["a.jsonl", "b.jsonl"])).rejects.toThrow(/a\.jsonl:3: /);
});

test("the fingerprint is that of the rows: how they were cut into files, and what was left out, do not show", async () => {
  const whole = passages(40_000);
  const at = whole.indexOf('{"_id":"d12345"');
  const collection = newCollection({
    "whole.jsonl": whole,
    "one.jsonl": whole.slice(0, at),
    "two.jsonl": `${passages(10)}${whole.slice(at)}`,
    "other.jsonl": whole.replace("text of d39999", "text of d39998"),
    "moved.jsonl": whole.replace('"title":"Title 1","text":"text', '"title":"Title 1t","text":"ext'),
  });
  const fingerprints: string[] = [];
  for (const names of [["whole.jsonl"], ["one.jsonl", "two.jsonl"], ["other.jsonl"], ["moved.jsonl"]]) {
    const { table } = await open(collection, names, { duplicateIds: "drop" });
    fingerprints.push(table.fingerprint);
    table.close();
  }
  expect(fingerprints[1]).toBe(fingerprints[0]);
  expect(new Set(fingerprints).size).toBe(3);
});

test("a table that lies in many windows of mapped memory is the table", async () => {
  const whole = RandomFile.windowBytes;
  onTestFinished(() => {
    RandomFile.windowBytes = whole;
  });
  RandomFile.windowBytes = 1 << 20;
  const count = 100_000;
  const records = Array.from({ length: count }, (_, row) => ({ _id: `d${row}`, text: `text of d${row} `.repeat(4) }));
  const { table } = await open(newCollection({ "a.jsonl": jsonLines(records) }), ["a.jsonl"]);
  for (let row = 0; row < count; row += 97) {
    expect([table.id(row), table.rowOf(`d${row}`), table.text(row)]).toEqual([`d${row}`, row, records[row]?.text]);
    expect(table.origin(row).line).toBe(row + 1);
  }
  table.close();
});

test("where a format may repeat records, equal ones are one and only others are faults", async () => {
  const { content } = await buildTable([
    recordsFormat(
      [
        ["a", "one"],
        ["b", "two"],
        ["a", "one"],
        ["b", "other"],
      ],
      { mayRepeat: true },
    ),
    recordsFormat(
      [
        ["a", "one"],
        ["c", "three"],
      ],
      { mayRepeat: true },
    ),
    recordsFormat([["c", "three"]]),
  ]);
  expect(content.rowCount).toBe(3);
  expect(
    content.findings.map(({ kind, count, examples }) => [kind, count, examples.map(({ file, line }) => [file, line])]),
  ).toEqual([
    [
      "duplicateIds",
      2,
      [
        [0, 4],
        [2, 1],
      ],
    ],
  ]);
});

test("prompts have a column of their own where a format of queries brings them", async () => {
  const { table, content } = await buildTable(
    [
      recordsFormat(
        [
          ["q1", "one", "find: "],
          ["q2", "two", ""],
        ],
        { hasPrompts: true },
      ),
      recordsFormat([["q3", "three"]]),
    ],
    { role: "queries" },
  );
  const prompts = [0, 1, 2].map((row) => {
    const bytes = table.promptBytes(row);
    return bytes === null ? null : Buffer.from(bytes).toString();
  });
  expect([content.hasPrompts, prompts]).toEqual([true, ["find: ", null, null]]);
  table.close();
});
