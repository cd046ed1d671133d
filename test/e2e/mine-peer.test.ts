/** Mining as sentence-transformers' mine_hard_negatives does it: the same triplets with the same scores. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openWorkplace, type Workplace } from "./harness.js";
import { askPeer } from "./peer.js";

let place: Workplace;

/** Texts of their own, each query's and each passage's: the peer joins what is equal. */
function wordsOf(row: number, count: number): string {
  const words = "ash bay cog dew elm fig gem hut ice jar kit log map net oak pen".split(" ");
  return Array.from(
    { length: count },
    (_, at) => words[(row * row * 7 + row * at * 5 + at * at * 3 + (row >> 3)) % 16],
  ).join(" ");
}

beforeAll(async () => {
  place = await openWorkplace({ passages: 16, queries: 4 });
  const lines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
  const passages = Array.from({ length: 90 }, (_, row) => ({
    _id: `p${row}`,
    title: row % 3 === 0 ? `No ${row}` : "",
    text: `${wordsOf(row, 6 + (row % 9))} ${row}`,
  }));
  const queries = Array.from({ length: 12 }, (_, row) => ({ _id: `q${row}`, text: `${wordsOf(row * 7, 5)} ${row}` }));
  const judged = queries.flatMap(({ _id }, row) => [
    `${_id}\tp${row * 7}\t1`,
    ...(row % 2 === 0 ? [`${_id}\tp${row * 5 + 1}\t1`] : []),
  ]);
  await writeFile(join(place.collection, "corpus.jsonl"), lines(passages));
  await writeFile(join(place.collection, "queries.jsonl"), lines(queries));
  await writeFile(join(place.collection, "qrels/train.tsv"), `query-id\tcorpus-id\tscore\n${judged.join("\n")}\n`);
});
afterAll(() => place.remove());

/** What the peer mines: `anchor | positive | negative`, with the two scores. */
const PEER = `
import json, sys, types
from importlib.machinery import ModuleSpec

class Dataset:
    """As much of datasets.Dataset as the peer uses; the package itself is large and no part of the environment."""

    def __init__(self, columns):
        self.columns = columns
        self.column_names = list(columns)

    @staticmethod
    def from_dict(columns):
        return Dataset(columns)

    def __getitem__(self, name):
        return self.columns[name]

    def __len__(self):
        return len(self.columns[self.column_names[0]])

    def to_pandas(self):
        return self

    def groupby(self, name):
        return self

    def count(self):
        anchors, positives = (self.columns[name] for name in self.column_names)
        return types.SimpleNamespace(to_dict=lambda: {self.column_names[1]: {a: anchors.count(a) for a in sorted(set(anchors))}})

module = types.ModuleType("datasets")
module.Dataset, module.__spec__ = Dataset, ModuleSpec("datasets", None)
sys.modules["datasets"] = module

from sentence_transformers import SentenceTransformer
from sentence_transformers.util import hard_negatives
hard_negatives.is_datasets_available = lambda: True
model, folder, options = given
rows = [json.loads(line) for line in open(f"{folder}/corpus.jsonl")]
texts = {row["_id"]: f"{row['title']} {row['text']}" if row["title"] else row["text"] for row in rows}
queries = {row["_id"]: row["text"] for row in map(json.loads, open(f"{folder}/queries.jsonl"))}
pairs = [line.split("\\t")[:2] for line in open(f"{folder}/qrels/train.tsv").read().strip().split("\\n")[1:]]
dataset = Dataset.from_dict({"anchor": [queries[q] for q, _ in pairs], "positive": [texts[p] for _, p in pairs]})
encoder = SentenceTransformer(model, device="cpu")
names = ["anchor", "positive", "negative", "scores"]
found = []
for each in options:
    mined = hard_negatives.mine_hard_negatives(
        dataset, encoder, corpus=list(texts.values()), range_max=90,
        output_format="triplet", output_scores=True, verbose=False, **each,
    )
    found.append([[a, p, n, *scores] for a, p, n, scores in zip(*(mined[name] for name in names))])
del sys.modules["datasets"]
answer = found
`;

type Triplet = readonly [
  anchor: string,
  positive: string,
  negative: string,
  positiveScore: number,
  negativeScore: number,
];

async function own(name: string, options: object): Promise<Triplet[]> {
  const written = Object.entries(options).map(([key, value]) => `${key}: ${JSON.stringify(value)},`);
  await place.experiment(
    `
    name: ${JSON.stringify(name)},
    model: biEncoder(${JSON.stringify(place.model)}, { dtype: "float32" }),
    mine: {
      data: source({ corpus: "collection", qrels: "collection/qrels/train.tsv" }),
      topK: 90, ranksOver: "kept", output: "triplet", scores: true,
      ${written.join(" ")}
    },
    workers: { count: 1, threads: 1 },`,
    name,
  );
  const result = await place.quarry("mine", `${name}.ts`);
  expect(result.exitCode, result.stderr).toBe(0);
  const text = await readFile(join(place.folder, "runs", name, "mine-base/negatives.triplet.jsonl"), "utf8");
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const { anchor, positive, negative, scores } = JSON.parse(line) as Record<string, string> & { scores: number[] };
      return [anchor, positive, negative, ...scores] as unknown as Triplet;
    });
}

const CASES = [
  { num_negatives: 3 },
  { num_negatives: 4, range_min: 5, max_score: 0.97 },
  { num_negatives: 3, relative_margin: 0.01 },
  { num_negatives: 3, absolute_margin: 0.005, min_score: 0.2 },
];

test("mines the triplets of the peer, with margins, limits and ranges", async () => {
  const peers = await askPeer<Triplet[][]>(PEER, [place.model, place.collection, CASES]);
  for (const [at, options] of CASES.entries()) {
    const expected = peers[at] as Triplet[];
    const found = await own(`peer-${at}`, options);
    const name = (triplet: Triplet): string => triplet.slice(0, 3).join(" | ");
    expect(expected.length, JSON.stringify(options)).toBeGreaterThan(10);
    expect(found.map(name).sort(), JSON.stringify(options)).toEqual(expected.map(name).sort());
    const scores = new Map(expected.map((each) => [name(each), each]));
    for (const each of found) {
      const [, , , positive, negative] = scores.get(name(each)) as Triplet;
      expect(Math.abs(each[3] - positive)).toBeLessThan(1e-5);
      expect(Math.abs(each[4] - negative)).toBeLessThan(1e-5);
    }
  }
});
