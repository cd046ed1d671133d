/** The built-in formats in the order in which a file is tried against them: the most specific first. */
import { csv } from "./csv.js";
import { groupedJsonl } from "./grouped-jsonl.js";
import { idList } from "./id-list.js";
import { json } from "./json.js";
import { jsonl } from "./jsonl.js";
import { parquet } from "./parquet.js";
import type { Format } from "./reader.js";
import { flagEmbedding } from "./training/flagembedding.js";
import { sentenceTransformers } from "./training/sentence-transformers.js";
import { tevatron } from "./training/tevatron.js";
import { trecQrels } from "./trec-qrels.js";
import { trecRun } from "./trec-run.js";
import { triples } from "./triples.js";
import { tsv } from "./tsv.js";

/** A new format is a file of its own and a line here. */
export const builtInFormats: readonly Format[] = [
  // Training files and Parquet come first: their fields would pass for those of simpler formats.
  tevatron,
  flagEmbedding,
  sentenceTransformers,
  parquet,
  // Then JSON: whole files before lines, because a list is no line.
  json,
  groupedJsonl,
  jsonl,
  // Then columns: what a name says, then what only looks one way, then what anything with tabs may be.
  csv,
  triples,
  trecRun,
  trecQrels,
  tsv,
  idList,
];
