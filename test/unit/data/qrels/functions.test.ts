/** Functions of a script as steps of the algebra: what they see, and what happens when they do wrong. */
import { describe, expect, test } from "vitest";
import { choose } from "../../../../src/data/qrels/group-choice.js";
import { countUp, Draws, PURPOSE } from "../../../../src/data/random.js";
import { openSource } from "../../../../src/data/source.js";
import { step, type Triplet, type TripletGroup } from "../../../../src/experiment/function-step.js";
import type { SourceConfig } from "../../../../src/experiment/schema.js";
import { newCollection, passages, queries, sourceOf } from "../collection.js";
import { drawSome, numbersOf } from "../reference/draws.js";

const LINES = "q0\td4\t2\nq0\td1\t1\nq1\td0\t-1.5\nq1\td1\t0.7\n";

async function open(options: Partial<SourceConfig>) {
  const { context, dir } = newCollection({
    "corpus.jsonl": passages(6),
    "queries.jsonl": queries(3),
    "qrels.tsv": LINES,
  });
  const source = await openSource(sourceOf({ qrels: "qrels.tsv", ...options }), context);
  if (source.qrels === null) throw new Error("no qrels");
  return { qrels: source.qrels, dir };
}

test("a filter sees ids, score, title and texts of both sides", async () => {
  const seen: unknown[] = [];
  const filter = step({
    name: "look",
    fn: ({ queryId, passageId, score, query, passage }: Triplet) => {
      seen.push([
        queryId,
        passageId,
        score,
        query.id,
        query.title,
        query.text,
        passage.id,
        passage.title,
        passage.text,
      ]);
      return true;
    },
  });
  const { qrels } = await open({ filter });
  qrels.kept(0);
  expect(seen).toEqual([
    ["q0", "d4", 2, "q0", "", "what is 0?", "d4", "Title 4", "text of d4"],
    ["q0", "d1", 1, "q0", "", "what is 0?", "d1", "Title 1", "text of d1"],
  ]);
});

test("a group function sees the group, the epoch and the same random numbers whenever it is asked", async () => {
  const seen: unknown[] = [];
  const numbers: number[][] = [];
  const groupFilter = step({
    name: "look",
    fn: ({ queryId, query, triplets, epoch, random }: TripletGroup) => {
      seen.push([queryId, query.text, triplets.map(({ passageId }) => passageId), epoch]);
      numbers.push([random(), random()]);
      return true;
    },
  });
  const { qrels } = await open({ groupFilter, minScore: 0 });
  for (const [query, epoch] of [
    [0, 0],
    [1, 0],
    [0, 1],
    [0, 0],
  ] as const)
    qrels.judgements(query, epoch);
  expect(seen).toEqual([
    ["q0", "what is 0?", ["d4", "d1"], 0],
    ["q1", "what is 1?", ["d1"], 0],
    ["q0", "what is 0?", ["d4", "d1"], 1],
    ["q0", "what is 0?", ["d4", "d1"], 0],
  ]);
  expect(numbers[3]).toEqual(numbers[0]);
  expect(new Set(numbers.flat()).size).toBe(6);
});

test("selection and group functions draw the documented numbers", () => {
  // The vectors of src/data/README.md: seed 42, query row 7, first source.
  const stream = (epoch: number, purpose: number) => numbersOf({ seed: 42, epoch, row: 7, purpose, source: 0 });
  for (const [epoch, drawn] of [
    [2, 1],
    [1, 2],
    [1, 3],
  ].entries()) {
    const rows = countUp(5);
    const judgements = { rows, scores: new Float32Array(5) };
    const chosen = choose(judgements, { groupRandomK: 2 }, { seed: 42, stream: 0 }, 7, epoch);
    expect([...chosen.rows]).toEqual(drawn.toSorted());
    expect(drawSome([...rows], 2, stream(epoch, 1))).toEqual(drawn);
  }
  const next = stream(0, 8);
  const draws = new Draws(42, 0, 7, PURPOSE.groupFilter);
  for (const number of [0.6083035063377261, 0.1312778846084537]) {
    expect([next(), draws.unit()]).toEqual([number, number]);
  }
});

describe("what goes wrong in a function names the step, the judgement and its line", () => {
  const fault = async (options: Partial<SourceConfig>): Promise<string> => {
    const { qrels, dir } = await open(options);
    try {
      qrels.judgements(0, 0);
    } catch (thrown) {
      expect(thrown).toMatchObject({ code: "CONFIG", hint: expect.any(String) });
      return (thrown as Error).message.replaceAll(dir, "");
    }
    throw new Error("nothing was thrown");
  };
  const boom = (): never => {
    throw new TypeError("boom");
  };

  test.each<[string, Partial<SourceConfig>, string]>([
    [
      "a filter that throws",
      { filter: step({ name: "f", version: 3, fn: boom }) },
      'filter "f" (version 3) failed for query "q0", passage "d4" (/qrels.tsv:1): TypeError: boom',
    ],
    [
      "a filter that gives no boolean",
      { filter: step({ name: "f", fn: () => 1 as unknown as boolean }) },
      'filter "f" (version 1) gave 1 for query "q0", passage "d4" (/qrels.tsv:1); true or false was expected.',
    ],
    [
      "an async filter",
      { filter: step({ name: "f", fn: async () => true }) as never },
      'filter "f" (version 1) gave a promise for query "q0", passage "d4" (/qrels.tsv:1); true or false was expected.',
    ],
    [
      "a transform that throws for the second judgement",
      { scoreTransform: step({ name: "t", fn: ({ passageId }: Triplet) => (passageId === "d1" ? boom() : 1) }) },
      'scoreTransform "t" (version 1) failed for query "q0", passage "d1" (/qrels.tsv:2): TypeError: boom',
    ],
    [
      "a transform that gives NaN",
      { scoreTransform: step({ name: "t", fn: () => Number.NaN }) },
      'scoreTransform "t" (version 1) gave NaN for query "q0", passage "d4" (/qrels.tsv:1); a finite number was expected.',
    ],
    [
      "a transform that gives what float32 does not hold",
      { scoreTransform: step({ name: "t", fn: () => 1e39 }) },
      'scoreTransform "t" (version 1) gave 1e+39 for query "q0", passage "d4" (/qrels.tsv:1); a finite number was expected.',
    ],
    [
      "a group function that gives null",
      { groupFilter: step({ name: "g", fn: () => null as unknown as boolean }) },
      'groupFilter "g" (version 1) gave null for query "q0", passage "d4" (/qrels.tsv:1); triplets of the group, true or false was expected.',
    ],
    [
      "a group function that makes up a triplet",
      { groupFilter: step({ name: "g", fn: ({ triplets }: TripletGroup) => [{ ...triplets[0] } as Triplet] }) },
      'groupFilter "g" (version 1) gave what is no triplet of the group query "q0", passage "d4" (/qrels.tsv:1).',
    ],
    [
      "a group function that gives a triplet twice",
      { groupFilter: step({ name: "g", fn: ({ triplets }: TripletGroup) => [...triplets, ...triplets] }) },
      'groupFilter "g" (version 1) gave what is no triplet of the group query "q0", passage "d4" (/qrels.tsv:1).',
    ],
  ])("%s", async (_name, options, message) => {
    expect(await fault(options)).toBe(message);
  });
});

describe("scoreTransform", () => {
  const scores = async (scoreTransform: SourceConfig["scoreTransform"], query: number): Promise<number[]> => {
    const { qrels } = await open({ scoreTransform });
    return [...qrels.judgements(query, 0).scores];
  };

  test("floor, ceil and round are the mathematical ones", async () => {
    expect(await scores("floor", 1)).toEqual([-2, 0]);
    expect(await scores("ceil", 1)).toEqual([-1, 1]);
    expect(await scores("round", 1)).toEqual([-1, 1]);
  });

  test("a map compares scores as float32; a score that it does not name is a Data error with its line", async () => {
    expect(await scores({ map: { "-1.5": 0, "0.7": 3 } }, 1)).toEqual([0, 3]);
    expect(await scores({ map: { 2: 5 }, otherwise: 0 }, 0)).toEqual([5, 0]);
    const { qrels, dir } = await open({ scoreTransform: { map: { 2: 5 } } });
    expect(() => qrels.judgements(0, 0)).toThrow(
      expect.objectContaining({
        code: "DATA",
        message: `${dir}/qrels.tsv:2: scoreTransform.map names no new score for 1 (query "q0", passage "d1").`,
      }),
    );
  });

  test.each<[string, SourceConfig["scoreTransform"], string]>([
    ["a key that is no number", { map: { high: 2 } }, 'scoreTransform.map: "high" is no score.'],
    ["an empty key", { map: { " ": 2 } }, 'scoreTransform.map: " " is no score.'],
    [
      "two keys that are one float32",
      { map: { "0.7": 1, "0.70000001": 2 } },
      'scoreTransform.map: "0.70000001" stands for a score that is named twice.',
    ],
    ["a constant beyond float32", 1e39, "scoreTransform 1e+39 is no score that float32 holds."],
  ])("%s is a Config error when the source is opened", async (_name, scoreTransform, message) => {
    await expect(open({ scoreTransform })).rejects.toMatchObject({ code: "CONFIG", message });
  });
});
