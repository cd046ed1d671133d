/** `checkData` says that a run would stop wherever a step of it does. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { biEncoder, binary, checkData, defineExperiment, source } from "../../../src/index.js";
import { writeCollection } from "../../fixtures/collection.js";

let folder = "";
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "quarry-check-"));
  await writeCollection(folder, { passages: 96, queries: 12 });
  writeFileSync(join(folder, "broken.run"), "q0 Q0\nbroken line here\n");
  writeFileSync(join(folder, "other.run"), "q0 Q0 nobody 1 0.5 bm25\n");
  writeFileSync(join(folder, "sound.run"), "q0 Q0 p1 1 0.5 bm25\n");
  mkdirSync(join(folder, "alone"));
  writeFileSync(join(folder, "alone/corpus.jsonl"), '{"_id": "p0", "text": "a passage"}\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type Sections = Omit<Parameters<typeof defineExperiment>[0], "name" | "model">;

function check(sections: Sections) {
  const model = biEncoder("some/model");
  return checkData(defineExperiment({ name: "checked", cacheDir: join(folder, "cache"), model, ...sections }));
}

const judged = () => source({ corpus: folder, qrels: join(folder, "qrels/test.tsv") });
const alone = () => source({ corpus: join(folder, "alone/corpus.jsonl") });
const mining = (run: string) => ({ retrievers: [{ run: join(folder, run) }] });
const refreshing = (run: string) => ({
  data: binary({ positives: judged(), negatives: judged(), negativesPerQuery: 1 }),
  args: { maxSteps: 8 },
  refresh: { everySteps: 2, mine: mining(run) },
});

test.each<[string, () => Sections, option: string, message: RegExp]>([
  [
    "a run file that is missing",
    () => ({ mine: { data: judged(), ...mining("no.run") } }),
    "mine.retrievers.0.run",
    /no\.run: no such file/,
  ],
  [
    "one that cannot be read",
    () => ({ mine: { data: judged(), ...mining("broken.run") } }),
    "mine.retrievers.0.run",
    /broken\.run/,
  ],
  [
    "one that negatives are refreshed with",
    () => ({ train: refreshing("no.run") }),
    "train.refresh.mine.retrievers.0.run",
    /no\.run: no such file/,
  ],
  [
    "queries to encode that nobody gave",
    () => ({ encode: { data: alone(), side: "query" } }),
    "encode.data",
    /^encode\.data has no queries$/,
  ],
  ["a search without questions", () => ({ search: { data: alone() } }), "search.data", /no query with a text/],
  [
    "no queries to mine for",
    () => ({ mine: { data: alone(), queries: "all" } }),
    "mine.data",
    /no queries to mine for/,
  ],
  [
    "a part smaller than what is judged",
    () => ({ evaluate: { data: judged(), subCorpus: { passages: 5 } } }),
    "evaluate.data",
    /^evaluate\.subCorpus\.passages: 5 leave no room/,
  ],
  [
    "the same while training",
    () => ({
      train: {
        data: binary({ positives: judged() }),
        evaluate: { data: judged(), subCorpus: { passages: 5 }, everySteps: 2 },
      },
    }),
    "train.evaluate.data",
    /^train\.evaluate\.subCorpus\.passages: 5 leave no room/,
  ],
])("%s stops a run", async (_what, sections, option, message) => {
  const { isSound, problems } = await check(sections());
  expect({ isSound, problems }).toMatchObject({
    isSound: false,
    problems: [{ option, message: expect.stringMatching(message) }],
  });
});

test("a source that cannot be looked at, in any of its files, hides nothing of the others", async () => {
  const circle = join(folder, "circle");
  symlinkSync(circle, circle);
  const { isSound, problems, sources } = await check({
    evaluate: { data: source({ corpus: circle, queries: folder, qrels: join(folder, "qrels/test.tsv") }) },
    mine: { data: source({ corpus: folder, qrels: circle }) },
    encode: { data: source({ corpus: join(folder, "x".repeat(300)) }) },
    search: { data: source({ corpus: join(folder, "none.jsonl") }), texts: ["what is it?"] },
    train: { data: binary({ positives: judged() }), args: { maxSteps: 8 } },
  });
  expect(isSound).toBe(false);
  expect(problems.map(({ option, message }) => [option, message.replace(/^.*\//, "")])).toEqual([
    ["evaluate.data", "circle: cannot be read (ELOOP)."],
    ["encode.data", `${"x".repeat(300)}: cannot be read (ENAMETOOLONG).`],
    ["search.data", "none.jsonl: no such file."],
  ]);
  expect(sources).toMatchObject([{ options: ["train.data.positives"], passages: 96 }]);
});

test("ids in a run file that nothing has are faults like those of judgements", async () => {
  const { isSound, faults } = await check({ mine: { data: judged(), ...mining("other.run") } });
  expect(isSound).toBe(false);
  expect(faults).toMatchObject([{ kind: "danglingIds", count: 1, options: ["mine.retrievers.0.run"] }]);
});

test("queries that a search with questions of its own passes over are not looked at", async () => {
  const queries = join(folder, "broken.jsonl");
  writeFileSync(queries, "no query\n");
  const data = () => source({ corpus: folder, queries, qrels: join(folder, "qrels/test.tsv") });
  expect(await check({ search: { data: data(), texts: ["what is it?"] } })).toMatchObject({
    isSound: true,
    sources: [{ passages: 96, queries: 0 }],
  });
  expect(await check({ search: { data: data() } })).toMatchObject({ isSound: false });
});

test("what steps can work with is sound, a run file counts as a source", async () => {
  const { isSound, sources } = await check({
    mine: { data: judged(), ...mining("sound.run") },
    encode: { data: alone() },
    search: { data: alone(), texts: ["what is it?"] },
    train: refreshing("sound.run"),
  });
  expect(isSound).toBe(true);
  expect(sources).toContainEqual(
    expect.objectContaining({
      options: ["mine.retrievers.0.run", "train.refresh.mine.retrievers.0.run"],
      judgements: 1,
    }),
  );
});
