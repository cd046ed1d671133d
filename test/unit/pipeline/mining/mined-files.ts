/** Mines from ranked lists over a small collection on disk and writes every format: what the tests of files share. */
import { prepareSource } from "../../../../src/data/index.js";
import type { PreparedSource, TextTable } from "../../../../src/data/types.js";
import type { SearchDataConfig, SourceConfig } from "../../../../src/experiment/schema.js";
import { casesOf, identityOf, retrievedBy } from "../../../../src/pipeline/mining/cases.js";
import { formatsOf } from "../../../../src/pipeline/mining/output/formats.js";
import { NegativesWriter, type WrittenFile } from "../../../../src/pipeline/mining/output/writer.js";
import { minePass, type PassWork } from "../../../../src/pipeline/mining/pass.js";
import { type MiningReport, ReportBuilder } from "../../../../src/pipeline/mining/report.js";
import type { MiningRules } from "../../../../src/pipeline/mining/types.js";
import type { TopK } from "../../../../src/pipeline/top-k.js";
import { type Collection, jsonLines, newCollection } from "../../data/collection.js";
import { PLAIN_RULES } from "./cases.js";

export const OUTPUTS = [
  "qrels",
  "triples",
  "grouped-jsonl",
  "run",
  "tevatron",
  "flagembedding",
  "triplet",
  "n-tuple",
  "labeled-pair",
  "labeled-list",
] as const;

const PASSAGES = 12;
const TOP_K = 8;

/** Texts with everything that a file format may stumble over. */
function collection(): Collection {
  const odd = ['a "quoted" one', "tabs\tand\nlines", "\ufeffnaïve – 𝒳 \u2028 end", "back\\slash", "comma, semicolon;"];
  const passages = Array.from({ length: PASSAGES }, (_, row) => ({
    _id: `d${row}`,
    title: row % 3 === 0 ? `Title ${row}` : "",
    text: `${odd[row % odd.length]} of passage ${row}`,
  }));
  const queries = Array.from({ length: 5 }, (_, row) => ({
    _id: `q${row}`,
    text: `${row === 2 ? "\ufeff" : ""}what is "${row}"?`,
  }));
  const judged = ["q0\td0\t1", "q0\td5\t1", "q1\td1\t1", "q1\td2\t0", "q2\td3\t2", "q3\td4\t1"];
  return newCollection({
    "corpus.jsonl": jsonLines(passages),
    "queries.jsonl": jsonLines(queries),
    "qrels.tsv": `query-id\tcorpus-id\tscore\n${judged.join("\n")}\n`,
  });
}

/** A ranking for each query in which the passages turn by one from query to query; scores are no short decimals. */
function ranking(queryCount: number): TopK {
  const rows = Int32Array.from(
    { length: queryCount * TOP_K },
    (_, at) => (Math.floor(at / TOP_K) + (at % TOP_K)) % PASSAGES,
  );
  const scores = Float32Array.from(rows, (_, at) => 1 / (1.7 + (at % TOP_K)));
  return { queryCount, topK: TOP_K, rows, scores };
}

/** What was mined, and where it was written. */
export interface Mined {
  readonly files: readonly WrittenFile[];
  /** `query text | passage text | label | score`, sorted: each positive and negative of each query once. */
  readonly judgements: readonly string[];
  readonly positivesLeftOut: number;
  readonly report: MiningReport;
  readonly collection: Collection;
  readonly path: (file: string) => string;
}

export async function mineToFiles(
  options: {
    readonly scores?: boolean;
    readonly minNegatives?: number;
    readonly rules?: Partial<MiningRules>;
    readonly source?: Partial<SourceConfig>;
    readonly queries?: "judged" | "all";
    readonly rescore?: PassWork["rescore"];
    readonly fillRandom?: boolean;
    /** Stands between the passages and whoever reads them. */
    readonly passages?: (table: TextTable) => TextTable;
    /** Further files of the collection. */
    readonly files?: Readonly<Record<string, string>>;
  } = {},
): Promise<Mined> {
  const { scores = false, minNegatives = 0 } = options;
  const place = collection();
  for (const [name, content] of Object.entries(options.files ?? {})) place.write(name, content);
  const data: SearchDataConfig = {
    kind: "source",
    corpus: "corpus.jsonl",
    queries: "queries.jsonl",
    qrels: "qrels.tsv",
    ...options.source,
  };
  const prepared = await prepareSource(data, place.context);
  const source = { ...prepared, passages: options.passages?.(prepared.passages) ?? prepared.passages };
  try {
    const rules: MiningRules = { ...PLAIN_RULES, negativesPerQuery: 3, ...options.rules };
    const queryRows = options.queries === "all" ? source.encodableQueries : (source.qrels?.queryRows as Int32Array);
    const formats = formatsOf({ output: [...OUTPUTS], scores, negativesPerQuery: 3 }, "tag");
    const writer = await NegativesWriter.open(`${place.dir}/mined`, formats, source, { scores, minNegatives });
    const report = new ReportBuilder(3, ["base"]);
    const cases = casesOf(source, queryRows, [retrievedBy(ranking(queryRows.length), null)]);
    const judgements: string[] = [];
    const add = report.add.bind(report);
    report.add = (selection, heldOut) => {
      add(selection, heldOut);
      const line = (row: number, label: number, score: number | undefined): string =>
        `${source.queries.text(selection.queryRow)} | ${wholeOf(source, row)} | ${label} | ${score}`;
      selection.positives.forEach((row, at) => judgements.push(line(row, 1, selection.positiveLabels[at])));
      for (const { row, label } of selection.negatives) judgements.push(line(row, 0, label));
    };
    await minePass(cases, {
      rules,
      texts: identityOf(source),
      report,
      writer,
      rescore: options.rescore ?? null,
      pool: options.fillRandom === true ? source.searchRows : null,
      onChunk: () => {},
    });
    const files = await writer.finish();
    return {
      files,
      judgements: judgements.sort(),
      positivesLeftOut: writer.positivesWithoutScore,
      report: report.finish(writer.positivesWithoutScore),
      collection: place,
      path: (file) => `${place.dir}/mined/${file}`,
    };
  } finally {
    source.close();
  }
}

function wholeOf({ passages }: PreparedSource, row: number): string {
  const title = passages.title(row);
  return title === "" ? passages.text(row) : `${title} ${passages.text(row)}`;
}

/** Reads judgements back through the data plane: `query text | passage text | score`, sorted. */
export async function readBack(place: Collection, source: Omit<SourceConfig, "kind">): Promise<string[]> {
  const prepared = await prepareSource({ kind: "source", ...source }, place.context);
  try {
    const { qrels, queries } = prepared;
    const found = [...(qrels?.queryRows ?? [])].flatMap((queryRow) => {
      const judgements = qrels?.judgements(queryRow, 0);
      return [...(judgements?.rows ?? [])].map(
        (row, at) => `${queries.text(queryRow)} | ${wholeOf(prepared, row)} | ${judgements?.scores[at]}`,
      );
    });
    return found.sort();
  } finally {
    prepared.close();
  }
}
