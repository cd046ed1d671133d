/** Every twentieth group of a real experiment on NFCorpus, with mined negatives, against what Trove's rules give. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MergedQrels } from "../../../src/data/qrels/merged.js";
import { openSources } from "../../../src/data/source.js";
import type { DataContext, TrainingSet } from "../../../src/data/types.js";
import { openTrainingSet } from "../../../src/data/views/open-training-set.js";
import { type Triplet as Judged, step, type TripletGroup } from "../../../src/experiment/function-step.js";
import type { SourceConfig } from "../../../src/experiment/schema.js";
import { sourceOf } from "./collection.js";
import {
  type Arguments,
  binaryGroup,
  mergedGroup,
  multiLevelGroup,
  type Triplet,
  TroveQrel,
} from "./reference/trove.js";

const folder = process.env["QUARRY_TEST_DATA"] ?? join(import.meta.dirname, "../../../../shared/data");
const JUDGED = join(folder, "nfcorpus/qrels/train.tsv");
const MINED = join(folder, "formats/nfcorpus.train.bm25-top100.run.gz");
const isMissing = !existsSync(JUDGED) || !existsSync(MINED);
/** 5 % of the groups. */
const EVERY = 20;

let judged: Triplet[] = [];
let mined: Triplet[] = [];
let qids: string[] = [];
let cacheDir = "";

/** Scores as float32, as Quarry keeps them. */
function triplet(qid = "", docid = "", score = ""): Triplet {
  return { qid, docid, score: Math.fround(Number(score)) };
}

describe.skipIf(isMissing)(
  `NFCorpus under Trove's rules${isMissing ? " (skipped: no data; set QUARRY_TEST_DATA)" : ""}`,
  () => {
    beforeAll(() => {
      cacheDir = mkdtempSync(join(tmpdir(), "quarry-trove-"));
      const lines = readFileSync(JUDGED, "utf8").trimEnd().split("\n").slice(1);
      judged = lines.map((line) => triplet(...line.split("\t")));
      const ranked = gunzipSync(readFileSync(MINED)).toString("utf8").trimEnd().split("\n");
      mined = ranked.map((line) => line.split(/\s+/)).map(([qid, , docid, , score]) => triplet(qid, docid, score));
      // Trove sorts a data set's queries by id.
      qids = [...new Set(judged.map(({ qid }) => qid))].sort();
    });

    afterAll(() => rmSync(cacheDir, { recursive: true, force: true }));

    const sampled = (): string[] => qids.filter((_, at) => at % EVERY === 0);
    const contextOf = (): DataContext => ({ baseDir: folder, cacheDir, seed: 5 });
    const source = (qrels: string, options: Partial<SourceConfig> = {}): SourceConfig =>
      sourceOf({ corpus: "nfcorpus/corpus.jsonl", queries: "nfcorpus/queries.jsonl", qrels, ...options });

    /** The judgements of a query with ids. */
    async function listsOf(sources: readonly SourceConfig[]): Promise<(qid: string) => Triplet[]> {
      const opened = await openSources({ kind: "combined", sources: [...sources], merge: "last" }, contextOf());
      return (qid) => {
        const { rows, scores } = (opened.qrels as MergedQrels).judgements(opened.queries.rowOf(qid), 0);
        return Array.from(rows, (row, at) => ({ qid, docid: opened.passages.id(row), score: scores[at] as number }));
      };
    }

    const rounded = (list: readonly Triplet[]): Triplet[] =>
      list.map((each) => ({ ...each, score: Math.fround(each.score) }));

    const half = ({ passageId }: { passageId: string }): boolean => Number(passageId.slice(4)) % 2 === 0;
    test.each<[string, Arguments, Partial<SourceConfig>?]>([
      ["no options", {}],
      ["minScore and maxScore", { minScore: 3, maxScore: 6.0455 }],
      ["groupTopK, in the order of the scores", { groupTopK: 5 }],
      ["groupBottomK, in the order of the scores", { groupBottomK: 5, minScore: 2 }],
      ["groupFirstK", { groupFirstK: 7, maxScore: 8 }],
      ["ties in groupTopK", { groupTopK: 9, scoreTransform: "floor" }],
      ["a constant", { groupTopK: 3, scoreTransform: 0 }],
      ["ceil", { scoreTransform: "ceil", minScore: 1.5 }],
      [
        "a filter function",
        { filter: ({ docid }) => half({ passageId: docid }), groupBottomK: 4 },
        { filter: step({ name: "half", fn: (each: Judged) => half(each) }), groupBottomK: 4 },
      ],
      [
        "a group function and a transform function",
        { groupFilter: (group) => group.slice(2, 9).toReversed(), scoreTransform: ({ score }) => score / 2 },
        {
          groupFilter: step({ name: "middle", fn: ({ triplets }: TripletGroup) => triplets.slice(2, 9).toReversed() }),
          scoreTransform: step({ name: "half", fn: ({ score }: Judged) => score / 2 }),
        },
      ],
    ])("mined candidates with %s", async (_name, args, options) => {
      const trove = new TroveQrel(mined, args);
      const list = await listsOf([
        source("formats/nfcorpus.train.bm25-top100.run.gz", options ?? (args as unknown as Partial<SourceConfig>)),
      ]);
      let compared = 0;
      for (const qid of sampled()) {
        const expected = trove.related(qid);
        expect(list(qid), qid).toEqual(rounded(expected));
        compared += expected.length;
      }
      expect(compared).toBeGreaterThan(200);
    });

    test("judgements over mined candidates, and the other way round: the last source wins at the first one's place", async () => {
      const relevant = new TroveQrel(judged, { scoreTransform: 3 });
      const candidates = new TroveQrel(mined, { groupTopK: 40, scoreTransform: "floor" });
      const wanted = source("nfcorpus/qrels/train.tsv", { scoreTransform: 3 });
      const unwanted = source("formats/nfcorpus.train.bm25-top100.run.gz", { groupTopK: 40, scoreTransform: "floor" });
      const over = await listsOf([unwanted, wanted]);
      const under = await listsOf([wanted, unwanted]);
      let met = 0;
      for (const qid of sampled()) {
        expect(over(qid), qid).toEqual(mergedGroup([candidates, relevant], qid));
        expect(under(qid), qid).toEqual(mergedGroup([relevant, candidates], qid));
        met += candidates
          .related(qid)
          .filter(({ docid }) => relevant.related(qid).some((each) => each.docid === docid)).length;
      }
      expect(met, "pairs that both sources judge").toBeGreaterThan(100);
    });

    /** Group by query id. */
    function groupsOf(set: TrainingSet): Map<string, { docids: string[]; labels: number[]; count: number }> {
      const groups = new Map<string, { docids: string[]; labels: number[]; count: number }>();
      for (let index = 0; index < set.queryCount; index += 1) {
        const { query, passages, labels, count } = set.group(index, 0);
        groups.set(set.queryId(query), {
          docids: Array.from(passages, (row) => set.passageId(row)),
          labels: [...labels],
          count,
        });
      }
      return groups;
    }

    test("binary groups without shuffling", async () => {
      const size = 8;
      // Trove refuses passages that are both positive and negative; Quarry leaves them out of the negatives.
      const positive = new Set(judged.map(({ qid, docid }) => `${qid} ${docid}`));
      const relevant = new TroveQrel(judged, {});
      const candidates = new TroveQrel(
        mined.filter(({ qid, docid }) => !positive.has(`${qid} ${docid}`)),
        { groupTopK: 30 },
      );
      const set = await openTrainingSet(
        {
          kind: "binary",
          positives: source("nfcorpus/qrels/train.tsv"),
          negatives: source("formats/nfcorpus.train.bm25-top100.run.gz", { groupTopK: 30 }),
          negativesPerQuery: size - 1,
          positiveChoice: "first",
          negativeChoice: "first",
          tooFew: "fewer",
        },
        contextOf(),
      );
      const groups = groupsOf(set);
      let compared = 0;
      for (const qid of sampled()) {
        const expected = binaryGroup(relevant.related(qid), candidates.related(qid), size);
        if (expected === null) continue;
        expect(groups.get(qid), qid).toEqual({ ...expected, count: size });
        compared += 1;
      }
      expect(compared).toBeGreaterThan(90);
      set.close();
    });

    test.each([
      ["most", "most_relevant"],
      ["least", "least_relevant"],
    ] as const)("multi-level groups of the %s relevant passages", async (selection, strategy) => {
      const size = 12;
      const candidates = new TroveQrel(mined, { scoreTransform: "floor" });
      const relevant = new TroveQrel(judged, { scoreTransform: 30 });
      const set = await openTrainingSet(
        {
          kind: "multiLevel",
          sources: [
            source("formats/nfcorpus.train.bm25-top100.run.gz", { scoreTransform: "floor" }),
            source("nfcorpus/qrels/train.tsv", { scoreTransform: 30 }),
          ],
          merge: "last",
          passagesPerQuery: size,
          selection,
          tooFew: "fewer",
        },
        contextOf(),
      );
      const groups = groupsOf(set);
      let compared = 0;
      for (const qid of sampled()) {
        const merged = mergedGroup([candidates, relevant], qid);
        if (merged.length < size) continue;
        let expected = multiLevelGroup(merged, size, strategy);
        // Quarry keeps the best passage in the first place; Trove's group of the least relevant may hold no relevant one.
        if (selection === "least")
          expected = [...multiLevelGroup(merged, 1, "most_relevant"), ...expected.slice(0, size - 1)];
        expect(groups.get(qid), qid).toEqual({
          docids: expected.map(({ docid }) => docid),
          labels: expected.map(({ score }) => score),
          count: size,
        });
        compared += 1;
      }
      expect(compared).toBeGreaterThan(90);
      set.close();
    });
  },
);
