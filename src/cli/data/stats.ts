/** How the figures of an experiment's data are drawn: tables of steps, histograms of labels and lengths. */
import { relative } from "node:path";
import { counted } from "../../counted.js";
import type {
  Bin,
  CachedData,
  DataStats,
  QrelsStats,
  SourceStats,
  Summary,
  TextStats,
  TrainingStats,
} from "../../index.js";
import { formatBytes, formatCount } from "../../report/format.js";
import { alignedLines } from "../../report/text-width.js";
import { bar, cut, type Layout, sideBySide, value } from "./layout.js";

/** One part a source, then the groups, then what the cache holds. */
export function describeStats(
  name: string,
  { sources, training, cache }: DataStats & { cache: CachedData },
  layout: Layout,
): string {
  const seen = new Set<TextStats>();
  const parts = [
    [`data of ${name}`],
    ...sources.map((source) => sourceLines(source, seen, layout)),
    ...(training === null ? [] : [trainingLines(training)]),
    cacheLines(cache),
  ];
  return parts.map((lines) => lines.join("\n")).join("\n\n");
}

function sourceLines(
  { options, name, passages, queries, qrels }: SourceStats,
  seen: Set<TextStats>,
  layout: Layout,
): string[] {
  return [
    cut(`── ${options.join(", ")}${name === null ? "" : ` (${name})`} `.padEnd(layout.width, "─"), 0, layout),
    ...textLines("passages", passages, seen, layout),
    ...(queries === null ? ["", "queries: none"] : textLines("queries", queries, seen, layout)),
    ...(qrels === null ? ["", "judgements: none"] : qrelsLines(qrels, layout)),
  ];
}

function textLines(label: string, stats: TextStats, seen: Set<TextStats>, layout: Layout): string[] {
  const head = cut(`${label}: ${formatCount(stats.rowCount)} in ${names(stats.files)}`, 0, layout);
  if (seen.has(stats)) return ["", `${head}, as above`];
  seen.add(stats);
  const { emptyCount, untitledShare, measuredCount, rowCount, characters, words } = stats;
  const facts = [
    ...(emptyCount > 0 ? [`${formatCount(emptyCount)} empty`] : []),
    untitledShare === 0
      ? "all with a title"
      : untitledShare === 1
        ? "no titles"
        : `${percent(untitledShare)} without a title`,
    ...(measuredCount < rowCount ? [`lengths of ${formatCount(measuredCount)}, evenly spaced`] : []),
  ];
  if (characters === null || words === null) return ["", head];
  const half = Math.floor((layout.width - 5) / 2);
  return [
    "",
    head,
    `  ${facts.join("; ")}`,
    ...sideBySide(
      [...summaryLines("characters", characters), ...histogram(characters.bins, half, true, layout)],
      [...summaryLines("words", words), ...histogram(words.bins, half, true, layout)],
      layout.width - 2,
    ).map((line) => `  ${line}`),
  ];
}

function summaryLines(unit: string, { least, most, mean, quantiles }: Summary): string[] {
  return [
    `${unit}: mean ${rounded(mean)}, median ${formatCount(quantiles.p50)}`,
    `${formatCount(least)} to ${formatCount(most)}, 90 % from ${formatCount(quantiles.p5)} to ${formatCount(quantiles.p95)}`,
  ];
}

function rounded(mean: number): string {
  return mean.toLocaleString("en-US", { maximumFractionDigits: 1 });
}

function qrelsLines({ files, steps, labels, perQuery }: QrelsStats, layout: Layout): string[] {
  const table = alignedLines([
    ["step", "judgements", "queries"],
    ...steps.map(({ step, judgements, queries }) => [step, formatCount(judgements), formatCount(queries)]),
  ]);
  const half = Math.floor((layout.width - 5) / 2);
  // Behind two lines of figures on the other side the bars begin in one row.
  const left = ["labels", "", ...histogram(labels, half, false, layout)];
  const right =
    perQuery === null ? [] : [...summaryLines("per query", perQuery), ...histogram(perQuery.bins, half, true, layout)];
  return [
    "",
    cut(`judgements in ${names(files)}`, 0, layout),
    ...[...table, ...sideBySide(left, right, layout.width - 2)].map((line) => `  ${line}`),
  ];
}

/** One line a bin: its range, a bar, its count. Whole numbers are named by the first and the last of a range. */
function histogram(bins: readonly Bin[], width: number, isWhole: boolean, layout: Layout): string[] {
  const ranges = flushRight(bins.map((bin) => rangeOf(bin, isWhole)));
  const counts = flushRight(bins.map((bin) => formatCount(bin.count)));
  const most = Math.max(...bins.map((bin) => bin.count));
  const room = Math.max(4, width - (ranges[0]?.length ?? 0) - (counts[0]?.length ?? 0) - 3);
  return bins.map((bin, at) => `${ranges[at]}  ${bar(bin.count / most, room, layout).padEnd(room)} ${counts[at]}`);
}

function flushRight(texts: readonly string[]): string[] {
  return alignedLines(
    texts.map((text) => [text]),
    () => true,
  );
}

function rangeOf({ from, below }: Bin, isWhole: boolean): string {
  if (below === null) return `≥ ${value(from)}`;
  if (below === from || (isWhole && below === from + 1)) return value(from);
  return isWhole ? `${value(from)} – ${value(below - 1)}` : `${value(from)} – < ${value(below)}`;
}

function trainingLines(stats: TrainingStats): string[] {
  const { groups, passagesPerQuery, smallGroups, measuredGroups, globalBatchSize, stepsPerEpoch } = stats;
  const of = measuredGroups < groups ? ` of ${formatCount(measuredGroups)} looked at` : "";
  return [
    "training",
    ...alignedLines([
      ["  groups (queries with enough to learn from)", formatCount(groups)],
      ["  passages in a group", formatCount(passagesPerQuery)],
      [`  groups with fewer in epoch 0${of}`, formatCount(smallGroups)],
      ["  groups in a step (globalBatchSize)", formatCount(globalBatchSize)],
      ["  steps in an epoch", formatCount(stepsPerEpoch)],
    ]),
  ];
}

function cacheLines({ folder, entries }: CachedData): string[] {
  const kinds = [...new Set(entries.map(({ kind }) => kind))];
  const total = entries.reduce((sum, { bytes }) => sum + bytes, 0);
  return [
    `cache: ${formatBytes(total)} of ${folder} come from these files`,
    ...alignedLines(
      kinds.map((kind) => {
        const own = entries.filter((entry) => entry.kind === kind);
        const bytes = own.reduce((sum, entry) => sum + entry.bytes, 0);
        return [`  ${kind}`, counted(own.length, "entries"), formatBytes(bytes)];
      }),
    ),
  ];
}

function names(files: readonly string[]): string {
  return files
    .map((file) => (relative(process.cwd(), file).startsWith("..") ? file : relative(process.cwd(), file)))
    .join(", ");
}

/** Never 0 % or 100 % for what is not quite that. */
function percent(share: number): string {
  return `${Math.min(99.9, Math.max(0.1, share * 100)).toFixed(1)} %`;
}
