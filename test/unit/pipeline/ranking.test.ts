/** Rankings from run files as trec_eval reads them, and what a second opinion makes of them. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { TextTable } from "../../../src/data/types.js";
import { rankAgain, readRanking, toTopK } from "../../../src/pipeline/ranking.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-ranking-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Only what reading a run asks of a table: a real one would need files. */
function table(ids: readonly string[], qualified = ids): TextTable {
  const order = [...ids.keys()].sort((one, two) => ((qualified[one] as string) < (qualified[two] as string) ? -1 : 1));
  const idRanks = new Int32Array(ids.length);
  for (const [rank, row] of order.entries()) idRanks[row] = rank;
  const part: Partial<TextTable> = {
    rowCount: ids.length,
    idRanks,
    rowOf: (id) => ids.indexOf(id),
    rowOfQualified: (id) => qualified.indexOf(id),
  };
  return part as TextTable;
}

async function read(text: string, passages = table(["a", "b", "c"]), queries = table(["q1", "q2"])) {
  const path = join(folder, "run.trec");
  await writeFile(path, text);
  return readRanking(path, { queries, passages });
}

test("score counts, then the passage id from the end of the alphabet; ranks and line order do not", async () => {
  const found = await read("q1 Q0 a 1 0.5 x\nq2 Q0 b 1 -1e-3 x\r\nq1 Q0 b 2 0.5 x\n\nq1\tQ0\tc\t9\t2\tx\n");
  expect([...(found.get(0)?.rows ?? [])]).toEqual([2, 1, 0]);
  expect([...(found.get(1)?.scores ?? [])]).toEqual([Math.fround(-1e-3)]);
});

test("blanks and line ends beyond ASCII belong to ids, whose ends no cut may touch", async () => {
  const passages = table(["a", "a\u00a0", "a\u3000b", "a\u2028b", "corpus-id"]);
  const odd = table(["\u00a0q", "query-id"]);
  const lines = ["\u00a0q Q0 a\u00a0 1 5 x", "\u00a0q Q0 a\u3000b 2 4 x", "\u00a0q Q0 a\u2028b 3 3 x"];
  const found = await read(`query-id Q0 corpus-id 1 1 x\n${lines.join("\n")}\n`, passages, odd);
  expect([...(found.get(0)?.rows ?? [])]).toEqual([1, 2, 3]);
  expect([...(found.get(1)?.rows ?? [])]).toEqual([4]);
});

test("ids that several corpora have are read as run files write them", async () => {
  const passages = table(["a", "b", "a"], ["one:a", "b", "two:a"]);
  const found = await read("q1 Q0 two:a 1 3 x\nq1 Q0 one:a 1 2 x\nq1 Q0 b 1 1 x\n", passages);
  expect([...(found.get(0)?.rows ?? [])]).toEqual([2, 0, 1]);
  await expect(read("q1 Q0 a 1 3 x\n", passages)).rejects.toThrow('no passage is called "a"');
});

test.each([
  ["q1 Q0 a 1", "no line of a TREC run"],
  ["q1 Q0 a 1 nan x", "no line of a TREC run"],
  ["q1 Q0 a 1 high x", "no line of a TREC run"],
  ["q9 Q0 a 1 1 x", 'no query is called "q9"'],
  ["q1 Q0 z 1 1 x", 'no passage is called "z"'],
])("%s is refused with its line", async (line, message) => {
  await expect(read(`q1 Q0 a 1 1 x\n${line}\n`)).rejects.toThrow(`run.trec:2: ${message}`);
});

test("the head is in the order of the new scores, the tail as before, and scores alone say so", () => {
  const scores = fc.array(
    fc.float({ noNaN: true, noDefaultInfinity: true, min: Math.fround(-1e30), max: Math.fround(1e30) }),
    {
      minLength: 1,
      maxLength: 12,
    },
  );
  fc.assert(
    fc.property(scores, fc.integer({ min: 0, max: 6 }), (head, tailLength) => {
      const count = head.length + tailLength;
      const rows = Int32Array.from({ length: count }, (_, at) => (at * 7) % count);
      const distinct = new Set(rows).size === count ? rows : Int32Array.from(rows.keys());
      const idRanks = Int32Array.from({ length: count }, (_, row) => (row * 5 + 3) % (count + 1));
      const before = { rows: distinct, scores: new Float32Array(count) };
      const after = rankAgain(before, Float32Array.from(head), idRanks);
      expect([...after.rows.subarray(head.length)]).toEqual([...distinct.subarray(head.length)]);
      expect([...after.rows].sort()).toEqual([...distinct].sort());
      for (let at = 1; at < count; at += 1) {
        const [higher, lower] = [after.scores[at - 1] as number, after.scores[at] as number];
        if (at >= head.length) expect(lower).toBeLessThan(higher);
        else expect(lower).toBeLessThanOrEqual(higher);
      }
      for (let at = 0; at < head.length; at += 1) {
        const place = distinct.indexOf(after.rows[at] as number);
        expect(after.scores[at]).toBe(head[place]);
      }
    }),
  );
});

test("queries without a ranking are empty lines of the matrix", () => {
  const ranking = { rows: Int32Array.of(4, 2), scores: Float32Array.of(2, 1) };
  expect(toTopK([undefined, ranking])).toEqual({
    queryCount: 2,
    topK: 2,
    rows: Int32Array.of(-1, -1, 4, 2),
    scores: Float32Array.of(Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, 2, 1),
  });
});
