/** What a comparison found, as text: a table for each pair of runs, of suites one for each measure. */
import { counted } from "../../counted.js";
import type { ComparedAverage, ComparedMeasure, Comparison, MovedQuery, SuiteComparison } from "../../index.js";
import { formatCount, tableLines } from "../../report/format.js";

const COLUMNS = ["baseline", "run", "gain", "95 % interval", "t-test", "randomisation", "wins", "ties", "losses"];

/** Measures as rows. */
export function describeComparison(found: Comparison): string[] {
  const { queryCount, comparisons } = found;
  const lines = [counted(queryCount, "queries"), ...caveats(found, "")];
  const pairs = byPair(comparisons);
  for (const [pair, measures] of pairs) {
    lines.push(
      "",
      pair,
      ...tableLines(
        ["", ...COLUMNS],
        measures.map((each) => row(each.measure, each)),
      ),
    );
  }
  lines.push(...correction(comparisons.length));
  for (const [pair, measures] of pairs) {
    for (const each of measures)
      lines.push(...moves(each, pairs.size > 1 ? `${each.measure} (${pair})` : each.measure));
  }
  return lines;
}

/** Data sets as rows, below them their average. */
export function describeSuites({ sets, averages, leftOut }: SuiteComparison): string[] {
  const queryCount = sets.reduce((sum, set) => sum + set.queryCount, 0);
  const lines = [`${counted(sets.length, "data sets")}, ${counted(queryCount, "queries")}`];
  for (const { set, lackedBy } of leftOut) lines.push(`${set}: left out, not evaluated in ${lackedBy.join(", ")}`);
  for (const each of sets) lines.push(...caveats(each, `${each.set}, `));
  const all = sets.flatMap(({ set, comparisons }) => comparisons.map((each) => ({ ...each, set })));
  const pairs = byPair(all);
  for (const [pair, ofPair] of pairs) {
    const tables = [...new Set(ofPair.map(({ measure }) => measure))].flatMap((measure) => {
      const own = ofPair.filter((each) => each.measure === measure);
      const average = averages.filter((each) => each.measure === measure && pairOf(each) === pair);
      const rows = [...own.map((each) => row(each.set, each)), ...average.map((each) => row("average", each))];
      const lacking = sets.map(({ set }) => set).filter((set) => own.every((each) => each.set !== set));
      const note = lacking.length > 0 ? [`no average: not all runs have values of it on ${lacking.join(", ")}`] : [];
      return ["", ...tableLines([measure, ...COLUMNS], rows), ...note];
    });
    lines.push("", pair, ...tables.slice(1));
  }
  lines.push(...correction(all.length + averages.length));
  for (const [pair, ofPair] of pairs) {
    for (const each of ofPair) {
      lines.push(...moves(each, `${each.measure} on ${each.set}${pairs.size > 1 ? ` (${pair})` : ""}`));
    }
  }
  return lines;
}

function caveats({ runs, unstated }: Comparison, where: string): string[] {
  const others = runs.filter(({ leftOut }) => leftOut > 0);
  return [
    ...unstated.map((name) => `${where}${name}: does not say by which level and judgements it was measured`),
    ...others.map(
      ({ run, leftOut }) => `${where}${run}: ${counted(leftOut, "queries")} left out that another run lacks`,
    ),
  ];
}

function pairOf({ baseline, run }: ComparedAverage): string {
  return `${baseline} → ${run}`;
}

function byPair<Compared extends ComparedAverage>(comparisons: readonly Compared[]): Map<string, Compared[]> {
  const pairs = new Map<string, Compared[]>();
  for (const each of comparisons) pairs.set(pairOf(each), [...(pairs.get(pairOf(each)) ?? []), each]);
  return pairs;
}

function row(label: string, each: ComparedMeasure | ComparedAverage): string[] {
  const { tTest, randomisation, interval } = each;
  // An average has no queries of its own.
  const counts = "wins" in each ? [each.wins, each.ties, each.losses].map(formatCount) : ["-", "-", "-"];
  return [
    label,
    each.baselineMean.toFixed(4),
    each.runMean.toFixed(4),
    signed(each.difference),
    `${signed(interval[0])} to ${signed(interval[1])}`,
    `${p(tTest.p)} (${p(tTest.pAdjusted)})`,
    `${p(randomisation.p)} (${p(randomisation.pAdjusted)})`,
    ...counts,
  ];
}

function correction(tests: number): string[] {
  return tests > 1 ? ["", `p in brackets: corrected for ${tests} comparisons (Holm)`] : [];
}

function moves({ gains, drops }: ComparedMeasure, of: string): string[] {
  return [
    ...(gains.length > 0 ? ["", `biggest gains of ${of}`, ...moved(gains)] : []),
    ...(drops.length > 0 ? ["", `biggest losses of ${of}`, ...moved(drops)] : []),
  ];
}

function moved(queries: readonly MovedQuery[]): string[] {
  return tableLines(
    ["query", "baseline", "run", "difference"],
    queries.map(({ query, baseline, run, difference }) => [
      query,
      baseline.toFixed(4),
      run.toFixed(4),
      signed(difference),
    ]),
  );
}

function signed(value: number): string {
  return `${value >= 0 ? "+" : ""}${value.toFixed(4)}`;
}

function p(value: number | null): string {
  if (value === null) return "-";
  return value < 0.0001 ? "<.0001" : value.toFixed(4);
}
