/** Which queries fared otherwise in the last evaluation of a run than in the first. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import type { MovedQueries } from "../../report/html/types.js";

/** An odd number, so that the middle one is around no change. */
const BINS = 21;
const MOST_SHOWN = 10;
/** Values of a million queries are 60 MB; a text of V8 ends at 512 MiB. */
const MOST_BYTES = 300e6;

type Queries = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** Null where there are not two evaluations with values of each query by a common measure. */
export async function movedQueries(runDir: string, steps: readonly string[]): Promise<MovedQueries | null> {
  const [from, to] = [steps[0], steps.at(-1)];
  if (from === undefined || to === undefined || from === to) return null;
  const [before, after] = await Promise.all([from, to].map((step) => queriesOf(join(runDir, step, "per-query.json"))));
  if (before == null || after == null) return null;
  const names = (queries: Queries): string[] => Object.keys(Object.values(queries)[0] ?? {});
  const measure = names(before).find((name) => names(after).includes(name));
  if (measure === undefined) return null;
  const both = Object.keys(before).flatMap((query) => {
    const [old, fresh] = [before[query]?.[measure], after[query]?.[measure]];
    return old === undefined || fresh === undefined ? [] : [{ query, before: old, after: fresh }];
  });
  return both.length === 0 ? null : { measure, from, to, ...summed(both) };
}

type Pair = MovedQueries["most"][number];

/** Counts, bins and extremes of changes between -1 and 1; larger ones, which few measures have, stand at the ends. */
export function summed(pairs: readonly Pair[]): Pick<MovedQueries, "better" | "worse" | "equal" | "bins" | "most"> {
  const bins = Array<number>(BINS).fill(0);
  let [better, worse] = [0, 0];
  for (const { before, after } of pairs) {
    const change = after - before;
    if (change > 0) better += 1;
    if (change < 0) worse += 1;
    const bin = Math.min(BINS - 1, Math.max(0, Math.floor(((change + 1) / 2) * BINS)));
    bins[bin] = (bins[bin] as number) + 1;
  }
  const sorted = pairs
    .filter(({ before, after }) => before !== after)
    .sort((one, other) => other.after - other.before - (one.after - one.before));
  const most =
    sorted.length <= 2 * MOST_SHOWN ? sorted : [...sorted.slice(0, MOST_SHOWN), ...sorted.slice(-MOST_SHOWN)];
  return { better, worse, equal: pairs.length - better - worse, bins, most };
}

async function queriesOf(path: string): Promise<Queries | null> {
  const found = await stat(path).catch(() => null);
  if (found === null || found.size > MOST_BYTES) return null;
  return (JSON.parse(await readFile(path, "utf8")) as { queries: Queries }).queries;
}
