/** Search: the best passages for the queries of the data, or for questions that somebody asks. */
import { mkdir } from "node:fs/promises";
import { formatFloat32 } from "../data/index.js";
import type { TextTable } from "../data/types.js";
import type { SearchConfig } from "../experiment/schema.js";
import { jsonDigest } from "../json-digest.js";
import { writeFileDurably } from "../rundir/durable.js";
import { queriesToSearch, withQueries } from "./asked-data.js";
import type { RunContext } from "./context.js";
import { writeJsonList } from "./json-list.js";
import { onceOnSource } from "./prepare.js";
import { retrieve } from "./retrieve.js";
import { type IndexedRetrieval, retrieveIndexed, retrieveSaved, savedIndex } from "./retrieve-indexed.js";
import type { ModelChoice, StepLeft } from "./step.js";
import type { TopK } from "./top-k.js";
import { writeRun } from "./trec.js";

/** Each query with its text and the passages found, the first thousand queries. */
interface Hits {
  readonly id: string;
  readonly text: string;
  readonly passages: readonly {
    readonly id: string;
    readonly score: number;
    readonly title: string;
    readonly text: string;
  }[];
}

interface Tables {
  readonly queries: TextTable;
  readonly passages: IndexedRetrieval["passages"];
}

/** Queries whose passages are written out with their texts. */
const SHOWN_QUERIES = 1_000;
/** Characters of a passage in the table of a question. */
const SHOWN_CHARS = 100;

/** Searches the experiment's search data with one model; questions asked before are answered from the run folder. */
export async function searchStep(context: RunContext, options: SearchConfig, model: ModelChoice): Promise<StepLeft> {
  const asked = options.texts === undefined ? "" : `-${jsonDigest(options.texts, 12)}`;
  const step = `search-${model.label}${asked}`;
  const data = options.texts === undefined ? options.data : await withTexts(context, step, options);
  const { index } = options;
  const saved = index !== "exact" && "folder" in index ? { ...index, ...(await savedIndex(context, index)) } : null;
  // Nothing binds a folder in which only questions were asked: its next one may be for another model.
  const vectors = { model: context.config.model, dtype: context.config.embeddings.dtype };
  const also = [
    `top ${options.topK}`,
    index === "exact" ? [] : JSON.stringify(saved ?? index),
    jsonDigest(vectors, 12),
  ];
  const found = await onceOnSource(
    context,
    step,
    { name: "search", data, also: also.flat().join(" ") },
    async (source) => {
      const rows = queriesToSearch(source);
      await mkdir(context.runDir.file(step), { recursive: true });
      const wanted = { phase: step, folder: step, model, source, queryRows: rows, topK: options.topK };
      const { ranked, passages, throughput } = await (saved !== null
        ? retrieveSaved(context, wanted, saved)
        : index !== "exact" && "kind" in index
          ? retrieveIndexed(context, wanted, index)
          : { ...(await retrieve(context, wanted)), passages: source.passages });
      const tables = { queries: source.queries, passages };
      const result = { run: `${step}/run.trec`, hits: `${step}/hits.json`, throughput };
      await writeRun(context.runDir.file(result.run), ranked, rows, tables, context.config.name);
      await writeJsonList(context.runDir.file(result.hits), hitsOf(ranked, rows, tables), { space: 2 });
      return { ...result, shown: options.texts === undefined ? [] : [...hitsOf(ranked, rows, tables)] };
    },
    ({ run, hits }) => [run, hits],
  );
  for (const { text, passages } of found.shown) {
    const cells = passages.map(({ id, score, title, text: passage }) => [
      formatFloat32(score),
      id,
      excerpt(title, passage),
    ]);
    context.events.emit({ type: "summary", columns: ["score", "passage", text], rows: cells });
  }
  const files = { search: context.runDir.file(found.run), hits: context.runDir.file(found.hits) };
  return { files, throughputs: [found.throughput] };
}

/** The beginning of a passage on one line. */
export function excerpt(title: string, text: string): string {
  const whole = [title, text]
    .filter((part) => part !== "")
    .join(" · ")
    .replaceAll(/\s+/g, " ");
  return whole.length > SHOWN_CHARS ? `${whole.slice(0, SHOWN_CHARS - 1)}…` : whole;
}

/** The search's data with the questions as its only queries. */
async function withTexts(context: RunContext, step: string, { data, texts = [] }: SearchConfig) {
  const path = context.runDir.file(step, "questions.jsonl");
  const lines = texts.map((text, index) => `${JSON.stringify({ _id: `text-${index + 1}`, text })}\n`);
  await writeFileDurably(path, lines.join(""));
  return withQueries(data, path);
}

/** One query after the other: the texts of all of them may be more than memory holds. */
export function* hitsOf(ranked: TopK, queryRows: Int32Array, { queries, passages }: Tables): Generator<Hits> {
  for (const [query, queryRow] of queryRows.subarray(0, SHOWN_QUERIES).entries()) {
    const found: Hits["passages"][number][] = [];
    for (let rank = 0; rank < ranked.topK; rank++) {
      const at = query * ranked.topK + rank;
      const row = ranked.rows[at] as number;
      if (row < 0) break;
      const score = ranked.scores[at] as number;
      found.push({ id: passages.qualifiedId(row), score, title: passages.title(row), text: passages.text(row) });
    }
    yield { id: queries.id(queryRow), text: queries.text(queryRow), passages: found };
  }
}
