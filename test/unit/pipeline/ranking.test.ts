/** Rankings from run files as trec_eval reads them, and what a second opinion makes of them. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { PairRows } from "../../../src/data/index.js";
import type { TextTable } from "../../../src/data/types.js";
import { rankAgain, rankHeads, readRanking } from "../../../src/pipeline/ranking.js";

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
  expect([...found.get(0).rows]).toEqual([2, 1, 0]);
  expect([...found.get(1).scores]).toEqual([Math.fround(-1e-3)]);
});

test("blanks and line ends beyond ASCII belong to ids, whose ends no cut may touch", async () => {
  const passages = table(["a", "a\u00a0", "a\u3000b", "a\u2028b", "corpus-id"]);
  const odd = table(["\u00a0q", "query-id"]);
  const lines = ["\u00a0q Q0 a\u00a0 1 5 x", "\u00a0q Q0 a\u3000b 2 4 x", "\u00a0q Q0 a\u2028b 3 3 x"];
  const found = await read(`query-id Q0 corpus-id 1 1 x\n${lines.join("\n")}\n`, passages, odd);
  expect([...found.get(0).rows]).toEqual([1, 2, 3]);
  expect([...found.get(1).rows]).toEqual([4]);
});

test("ids that several corpora have are read as run files write them", async () => {
  const passages = table(["a", "b", "a"], ["one:a", "b", "two:a"]);
  const found = await read("q1 Q0 two:a 1 3 x\nq1 Q0 one:a 1 2 x\nq1 Q0 b 1 1 x\n", passages);
  expect([...found.get(0).rows]).toEqual([2, 0, 1]);
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
      const after = { rows: distinct.slice(), scores: before.scores.slice() };
      rankAgain(after, Float32Array.from(head), idRanks);
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

test("a query without a ranking has none, and is not ranked again", async () => {
  const rankings = await read("q2 Q0 b 1 2 x\n");
  expect(rankings.get(0).rows).toHaveLength(0);
  await rankHeads(rankings, Int32Array.of(0, 1), 5, scorer([]), Int32Array.of(0, 1, 2));
  expect([...rankings.get(1).scores]).toEqual([101]);
});

/** Gives a pair a score that tells both of its rows, and notes how many pairs came together. */
function scorer(calls: number[]) {
  return {
    async scoreRows({ queryRows, passageRows }: PairRows) {
      calls.push(queryRows.length);
      return Float32Array.from(queryRows, (query, at) => 100 * query + (passageRows[at] as number));
    },
  };
}

test("pairs are scored some queries at a time, with what all of them at once give", async () => {
  const lines = ["q1 a 9", "q1 b 8", "q1 c 7", "q2 a 6", "q2 c 5", "q3 b 1", "q3 a 0"].map((line) => {
    const [query, passage, score] = line.split(" ");
    return `${query} Q0 ${passage} 1 ${score} x\n`;
  });
  const queries = table(["q1", "q2", "q3"]);
  const ranked = async (pairsAtOnce: number | undefined) => {
    const rankings = await read(lines.join(""), table(["a", "b", "c"]), queries);
    const calls: number[] = [];
    await rankHeads(rankings, Int32Array.of(0, 1, 2), 2, scorer(calls), Int32Array.of(0, 1, 2), pairsAtOnce);
    const found = [0, 1, 2].map((row) =>
      [...rankings.get(row).rows].map((at, place) => [at, rankings.get(row).scores[place]]),
    );
    return { calls, found };
  };
  const whole = await ranked(undefined);
  expect(whole.calls).toEqual([6]);
  expect(whole.found[0]).toEqual([
    [1, 1],
    [0, 0],
    [2, -1],
  ]);
  expect(await ranked(4)).toEqual({ calls: [4, 2], found: whole.found });
  // More than that of one query stay together.
  expect(await ranked(1)).toEqual({ calls: [2, 2, 2], found: whole.found });
});

test("lines of a query that stand apart are one ranking", async () => {
  const found = await read("q2 Q0 a 1 1 x\nq1 Q0 c 1 4 x\nq2 Q0 b 1 3 x\nq1 Q0 a 1 5 x\nq2 Q0 c 1 2 x\n");
  expect([...found.get(0).rows]).toEqual([0, 2]);
  expect([...found.get(1).rows]).toEqual([1, 2, 0]);
  expect([...found.get(1).scores]).toEqual([3, 2, 1]);
});
