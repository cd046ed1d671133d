/** Ids of what was encoded: of a large corpus they are more than one string holds, written and read. */
import { readdirSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { RunContext } from "../../../src/pipeline/context.js";
import { type EncodeWork, writeIds } from "../../../src/pipeline/encode-work.js";
import { idsOf } from "../../../src/pipeline/faiss.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-ids-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("ids go to the disk while others are still asked for", async () => {
  const context = { runDir: { file: (name: string) => join(folder, name) } } as unknown as RunContext;
  const sizes: number[] = [];
  const qualifiedId = (row: number): string => {
    const step = join(folder, "encode-base");
    sizes.push(readdirSync(step).reduce((bytes, name) => bytes + statSync(join(step, name)).size, 0));
    return `${row}`.repeat(1 << 20);
  };
  const work = { step: "encode-base", table: { qualifiedId }, options: { side: "passage" } } as unknown as EncodeWork;
  expect(await writeIds(context, work, Int32Array.of(7, 3))).toBe("encode-base/ids.json");
  expect(sizes).toEqual([0, (1 << 20) + 3]);
  const ids = JSON.stringify(["7".repeat(1 << 20), "3".repeat(1 << 20)]);
  expect((await readFile(join(folder, "encode-base/ids.json"), "utf8")) === ids).toBe(true);
});

test("ids of an index are read as JSON reads them, with and without blanks between them", async () => {
  const lists = fc.array(fc.string({ unit: fc.constantFrom("a", '"', "\\", "\n", ",", "[", "é", "🪨", "\ud800") }));
  await fc.assert(
    fc.asyncProperty(lists, fc.constantFrom(0, 1), async (ids, space) => {
      writeFileSync(join(folder, "ids.json"), JSON.stringify(ids, null, space));
      const rows = Int32Array.from(ids.keys());
      const idOf = await idsOf(folder, ids.length, rows);
      expect([...rows].map((row) => idOf(row))).toEqual(ids);
    }),
    { numRuns: 40 },
  );
});

test("only the ids of rows that were found are kept", async () => {
  writeFileSync(join(folder, "ids.json"), JSON.stringify(["a", "b", "c", "d"]));
  const idOf = await idsOf(folder, 4, Int32Array.of(3, -1, 1, 3));
  expect([idOf(1), idOf(3)]).toEqual(["b", "d"]);
  expect(() => idOf(2)).toThrow("row 2 is none of those that were found");
});
