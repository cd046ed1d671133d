/** The multi-level view: graded passages of each query, one of the best in the first place. */
import { Draws, PURPOSE, shuffleFirst } from "../random.js";
import type { Judgements } from "../types.js";
import { type BinarySide, type LeftOut, sameQuery } from "./binary.js";
import type { Numbering } from "./numbering.js";
import { View, type ViewParts } from "./view.js";

/** Sources in order; where several judge a pair, the last one wins. */
export class MultiLevelView extends View {
  readonly leftOut: LeftOut;

  constructor(
    parts: ViewParts,
    private readonly sides: readonly BinarySide[],
    private readonly seed: number,
  ) {
    const judged = judgedQueries(parts.queries, sides);
    let withoutPositives = 0;
    let withoutNegatives = 0;
    const eligible = judged.filter((query) => {
      const labels = merged(parts.queries, sides, query, null);
      if (!hasPositive(labels)) {
        withoutPositives += 1;
        return false;
      }
      // One passage alone cannot fill a group of several.
      const isEnough = parts.passagesPerQuery === 1 || labels.size > 1;
      if (!isEnough) withoutNegatives += 1;
      return isEnough;
    });
    super(parts, eligible);
    this.leftOut = { judgedCount: judged.length, withoutPositives, withoutNegatives };
  }

  /** Passages with a label above zero. */
  override knownPositives(query: number): Int32Array {
    const all = merged(this.parts.queries, this.sides, query, null);
    return Int32Array.from([...all].filter(([, label]) => label > 0).map(([passage]) => passage));
  }

  protected override candidates(query: number, epoch: number, count: number): Judgements {
    let all = merged(this.parts.queries, this.sides, query, epoch);
    // A random selection that left a single passage of several, or none that is relevant, gives way to all of them.
    if (!hasPositive(all) || (all.size < 2 && this.passagesPerQuery > 1))
      all = merged(this.parts.queries, this.sides, query, null);
    const rows = Int32Array.from(all.keys());
    const best = Math.max(...all.values());
    const tops = rows.filter((row) => all.get(row) === best);
    const first = tops[new Draws(this.seed, epoch, query, PURPOSE.positive).below(tops.length)] as number;
    const rest = rows.filter((row) => row !== first);
    shuffleFirst(rest, count - 1, new Draws(this.seed, epoch, query, PURPOSE.negatives));
    const order = Int32Array.of(first, ...rest);
    return { rows: order, scores: Float32Array.from(order, (row) => all.get(row) as number) };
  }
}

function hasPositive(labels: ReadonlyMap<number, number>): boolean {
  for (const label of labels.values()) if (label > 0) return true;
  return false;
}

/** Labels by passage, in order of first appearance; `epoch` null leaves the random selection out. */
function merged(
  queries: Numbering,
  sides: readonly BinarySide[],
  query: number,
  epoch: number | null,
): Map<number, number> {
  const labels = new Map<number, number>();
  const home = queries.parts.findLast((part) => query >= part.offset);
  if (home === undefined) return labels;
  for (const { qrels, queries: table, passageOffset } of sides) {
    const queryRow = sameQuery(home.table, query - home.offset, table);
    if (queryRow === -1) continue;
    const { rows, scores } = epoch === null ? qrels.kept(queryRow) : qrels.judgements(queryRow, epoch);
    for (let at = 0; at < rows.length; at += 1) labels.set((rows[at] as number) + passageOffset, scores[at] as number);
  }
  return labels;
}

/** Every query that some source judges, once, under the number of the first file of queries that holds its id. */
function judgedQueries(queries: Numbering, sides: readonly BinarySide[]): Int32Array {
  const judged = new Set<number>();
  for (const { qrels, queries: table } of sides) {
    for (const row of qrels.queryRows) {
      for (const part of queries.parts) {
        const found = sameQuery(table, row, part.table);
        if (found === -1) continue;
        judged.add(part.offset + found);
        break;
      }
    }
  }
  return Int32Array.from(judged).sort();
}
