/** What an experiment's data is: counts at each step of the algebra, labels, lengths of texts, groups for training. */
import { stepsOf } from "../plan.js";
import type { StepCount } from "../qrels/step-counts.js";
import { type OpenedSource, openSource } from "../source.js";
import { sourceFiles } from "../source-files.js";
import type { StoredTexts } from "../texts/stored-texts.js";
import type { DataContext } from "../types.js";
import { openTrainingSet } from "../views/open-training-set.js";
import { type Bin, labelBins, type Summary, summarise } from "./histogram.js";
import { type InspectedData, type InspectedTraining, isPart } from "./inspected.js";

/** Texts whose lengths are measured where a table has more: evenly spaced ones. */
export const MEASURED_TEXTS = 50_000;

export interface TextStats {
  readonly files: readonly string[];
  readonly rowCount: number;
  /** Texts without content. */
  readonly emptyCount: number;
  /** How many texts the following is about: all, or MEASURED_TEXTS evenly spaced ones. */
  readonly measuredCount: number;
  /** Share of the measured ones without a title, 0 to 1. */
  readonly untitledShare: number;
  /** Unicode characters of the text, titles left out. */
  readonly characters: Summary | null;
  /** Words of the text: what stands between white space. */
  readonly words: Summary | null;
}

export interface QrelsStats {
  readonly files: readonly string[];
  readonly steps: readonly StepCount[];
  /** Labels after all steps, in epoch 0. */
  readonly labels: readonly Bin[];
  /** Judgements of each query after all steps, in epoch 0. */
  readonly perQuery: Summary | null;
}

export interface SourceStats {
  /** Paths of the options that name this source. */
  readonly options: readonly string[];
  readonly name: string | null;
  readonly passages: TextStats;
  readonly queries: TextStats | null;
  readonly qrels: QrelsStats | null;
}

export interface TrainingStats {
  /** Queries that can form a group. */
  readonly groups: number;
  readonly passagesPerQuery: number;
  /** Groups with fewer passages than that in epoch 0, of `measuredGroups`. */
  readonly smallGroups: number;
  readonly measuredGroups: number;
  readonly globalBatchSize: number;
  /** Steps until every query was shown once. */
  readonly stepsPerEpoch: number;
  readonly fingerprint: string;
}

export interface DataStats {
  readonly sources: readonly SourceStats[];
  readonly training: TrainingStats | null;
}

/** Reads everything once; of large tables only some texts. @throws QuarryError CONFIG, DATA or ENVIRONMENT. */
export async function statsOfSources(data: InspectedData, context: DataContext): Promise<DataStats> {
  const sources = new Map<string, SourceStats & { readonly options: string[] }>();
  const tables = new Map<string, TextStats>();
  for (const [option, source] of data.sources) {
    const { name: _name, ...shape } = source;
    const key = JSON.stringify([shape, isPart(data, option)]);
    const known = sources.get(key);
    if (known !== undefined) {
      known.options.push(option);
      continue;
    }
    const opened = await openSource(source, context, { isPart: isPart(data, option) });
    try {
      sources.set(key, { options: [option], ...sourceStats(opened, context, tables) });
    } finally {
      opened.close();
    }
  }
  const training = data.train === null ? null : await trainingStats(data.train, context);
  return { sources: [...sources.values()], training };
}

function sourceStats(
  { config, passages, queries, qrels }: OpenedSource,
  context: DataContext,
  tables: Map<string, TextStats>,
): Omit<SourceStats, "options"> {
  const files = sourceFiles(config, context.baseDir);
  const paths = (of: readonly { readonly path: string }[]): string[] => of.map(({ path }) => path);
  const once = (table: StoredTexts, own: string[]): TextStats => {
    const known = tables.get(table.fingerprint) ?? textStats(table, own);
    tables.set(table.fingerprint, known);
    return known;
  };
  return {
    name: config.name ?? null,
    passages: once(passages, paths(files.corpus)),
    queries: queries === null ? null : once(queries, paths(files.queries ?? [])),
    qrels: qrels === null ? null : qrelsStats(qrels, paths(files.qrels)),
  };
}

function textStats(table: StoredTexts, files: string[]): TextStats {
  const { rowCount } = table;
  const measuredCount = Math.min(rowCount, MEASURED_TEXTS);
  const characters = new Int32Array(measuredCount);
  const words = new Int32Array(measuredCount);
  let untitled = 0;
  for (let at = 0; at < measuredCount; at += 1) {
    const { title, text } = table.textBytes(Math.floor((at * rowCount) / measuredCount));
    if (title.byteLength === 0) untitled += 1;
    [characters[at] = 0, words[at] = 0] = lengthsOf(text);
  }
  return {
    files,
    rowCount,
    emptyCount: table.emptyRows.length,
    measuredCount,
    untitledShare: measuredCount === 0 ? 0 : untitled / measuredCount,
    characters: summarise(characters),
    words: summarise(words),
  };
}

/** Characters and words of UTF-8 bytes, without decoding them. */
function lengthsOf(text: Uint8Array): [characters: number, words: number] {
  let characters = 0;
  let words = 0;
  let isInside = false;
  for (const byte of text) {
    // Bytes after the first of a character begin with the bits 10.
    if ((byte & 0xc0) !== 0x80) characters += 1;
    const isBlank = byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
    if (!isBlank && !isInside) words += 1;
    isInside = !isBlank;
  }
  return [characters, words];
}

function qrelsStats(qrels: NonNullable<OpenedSource["qrels"]>, files: string[]): QrelsStats {
  const steps = qrels.steps();
  const labels = new Float32Array(steps.at(-1)?.judgements ?? 0);
  const perQuery = new Int32Array(steps.at(-1)?.queries ?? 0);
  let [filled, queries] = [0, 0];
  for (const row of qrels.queryRows) {
    const { scores } = qrels.judgements(row, 0);
    if (scores.length === 0) continue;
    labels.set(scores, filled);
    filled += scores.length;
    perQuery[queries] = scores.length;
    queries += 1;
  }
  return { files, steps, labels: labelBins(labels), perQuery: summarise(perQuery.subarray(0, queries)) };
}

async function trainingStats(
  { data, globalBatchSize }: InspectedTraining,
  context: DataContext,
): Promise<TrainingStats> {
  const set = await openTrainingSet(data, context);
  try {
    const { queryCount: groups, passagesPerQuery, fingerprint } = set;
    const measuredGroups = Math.min(groups, MEASURED_TEXTS);
    let smallGroups = 0;
    for (let at = 0; at < measuredGroups; at += 1) {
      if (set.group(Math.floor((at * groups) / measuredGroups), 0).count < passagesPerQuery) smallGroups += 1;
    }
    const stepsPerEpoch = stepsOf(set, 1, globalBatchSize);
    return { groups, passagesPerQuery, smallGroups, measuredGroups, globalBatchSize, stepsPerEpoch, fingerprint };
  } finally {
    set.close();
  }
}
