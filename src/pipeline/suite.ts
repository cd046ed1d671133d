/** The table of several data sets: sets as rows, measures as columns, and their average. */
import type { EvaluateResult, SetResult } from "./evaluation-result.js";
import { describeEstimate } from "./quick-look.js";

/** What tables call the mean over all data sets; no data set may have this name. */
export const AVERAGE = "average";

/** Marks what a search over all passages would give, estimated from a part of them. */
export const WHOLE = ", all passages (estimated)";

/** The mean over data sets of each measure that all of them have; each set counts the same, whatever its size. */
export function averageOf(sets: readonly Pick<SetResult, "values">[]): Record<string, number> {
  const names = Object.keys(sets[0]?.values ?? {}).filter((name) => sets.every(({ values }) => name in values));
  return Object.fromEntries(
    names.map((name) => [name, sets.reduce((sum, { values }) => sum + (values[name] as number), 0) / sets.length]),
  );
}

/**
 * The table of one or several evaluated models; two models get a row with the gain.
 *
 * @returns null when no evaluation was one of a suite
 */
export function suiteTable(
  evaluations: ReadonlyMap<string, EvaluateResult>,
): { readonly columns: string[]; readonly rows: string[][] } | null {
  const names = [...new Set([...evaluations.values()].flatMap(({ sets }) => sets.map(({ name }) => name)))];
  if (names.every((name) => name === null)) return null;
  const all = [...evaluations].flatMap(([label, { sets, values }]) => [
    ...sets.map((set) => ({ label, name: set.name, values: set.values, wholeCorpus: set.wholeCorpus })),
    { label, name: AVERAGE, values, wholeCorpus: undefined },
  ]);
  const measures = [...new Set(all.flatMap(({ values }) => Object.keys(values)))];
  const rows = [...names, AVERAGE].flatMap((name) => {
    const own = all.filter((each) => each.name === name);
    const lines = own.flatMap(({ label, values, wholeCorpus }) => {
      const row = evaluations.size > 1 ? `${name}, ${label}` : `${name}`;
      const measured = [row, ...measures.map((measure) => shown(values[measure]))];
      if (wholeCorpus === undefined) return [measured];
      const estimates = measures.map((measure) => wholeCorpus[measure]);
      return [measured, [`${row}${WHOLE}`, ...estimates.map((each) => (each ? describeEstimate(each) : "-"))]];
    });
    const [before, after] = own;
    if (own.length !== 2 || before === undefined || after === undefined) return lines;
    const gains = measures.map((measure) => {
      const [from, to] = [before.values[measure], after.values[measure]];
      return from === undefined || to === undefined ? "-" : `${to >= from ? "+" : ""}${(to - from).toFixed(4)}`;
    });
    return [...lines, [`${name}, gain`, ...gains]];
  });
  return { columns: ["", ...measures], rows };
}

function shown(value: number | undefined): string {
  return value === undefined ? "-" : value.toFixed(4);
}
