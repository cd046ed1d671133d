/** The multi-level view: graded passages of each query, one of the best in the first place. */
import type { MultiLevelConfig } from "../../experiment/schema.js";
import type { MergedQrels } from "../qrels/merged.js";
import { countUp, Draws, PURPOSE, shuffleFirst } from "../random.js";
import { keepRows } from "../rows.js";
import { growingInt32 } from "../storage/growing.js";
import type { TextPool } from "../texts/text-pool.js";
import type { Judgements } from "../types.js";
import { NO_JUDGEMENTS, View, type ViewParts } from "./view.js";

export class MultiLevelView extends View {
  constructor(
    parts: ViewParts,
    readonly options: MultiLevelConfig,
    private readonly qrels: MergedQrels,
    eligible: Int32Array,
  ) {
    super(parts, eligible);
  }

  /** Passages with a label above zero. */
  protected override relevant(query: number): Int32Array {
    const { rows, scores } = this.qrels.labels(query);
    return rows.filter((_, at) => (scores[at] as number) > 0);
  }

  protected override sideOf() {
    return { qrels: this.qrels };
  }

  protected override candidates(query: number, epoch: number, count: number): Judgements {
    const all = graded(this.qrels, query, epoch, this.passagesPerQuery);
    if (!all.scores.some((label) => label > 0)) return NO_JUDGEMENTS;
    const order =
      this.options.selection === "random"
        ? this.#randomOrder(all, query, epoch, count)
        : relevanceOrder(all, this.parts.passages, this.options.selection === "least");
    return {
      rows: order.map((place) => all.rows[place] as number),
      scores: Float32Array.from(order, (place) => all.scores[place] as number),
    };
  }

  /** One of the best by chance, then the others by chance. */
  #randomOrder({ scores }: Judgements, query: number, epoch: number, count: number): Int32Array {
    const { seed } = this.parts;
    const best = scores.reduce((most, score) => Math.max(most, score), Number.NEGATIVE_INFINITY);
    const order = countUp(scores.length);
    const tops = order.filter((place) => scores[place] === best);
    const first = tops[new Draws(seed, epoch, query, PURPOSE.positive).below(tops.length)] as number;
    const rest = order.filter((place) => place !== first);
    shuffleFirst(rest, count - 1, new Draws(seed, epoch, query, PURPOSE.negatives));
    order[0] = first;
    order.set(rest, 1);
    return order;
  }
}

/**
 * By label, then by id, both descending. With `least` the first of these stays in the first place, for a group learns
 * from the distance to its best passage, and the others follow by label and id ascending.
 */
function relevanceOrder({ rows, scores }: Judgements, passages: TextPool, isLeast: boolean): Int32Array {
  const order = countUp(rows.length).sort(
    (one, other) =>
      (scores[other] as number) - (scores[one] as number) ||
      passages.compareIds(rows[other] as number, rows[one] as number),
  );
  if (isLeast) order.subarray(1).reverse();
  return order;
}

/**
 * The judgements a group is cut from. A groupRandomK that drew a single passage of several, or none that is relevant,
 * gives way to all of them.
 */
function graded(qrels: MergedQrels, query: number, epoch: number, passagesPerQuery: number): Judgements {
  const drawn = qrels.judgements(query, epoch);
  if (isGroup(drawn, passagesPerQuery) || !isDrawn(qrels)) return drawn;
  return qrels.labels(query);
}

/** Whether judgements hold a relevant passage, and another beside it where groups have several. */
function isGroup({ rows, scores }: Judgements, passagesPerQuery: number): boolean {
  return scores.some((label) => label > 0) && (passagesPerQuery === 1 || rows.length > 1);
}

function isDrawn({ sides }: MergedQrels): boolean {
  return sides.some(({ qrels }) => qrels.parts.algebra.groupRandomK !== undefined);
}

/** Queries that can form a group, and those that have a relevant passage but no other beside it; both ascending. */
export interface GradedQueries {
  readonly eligible: Int32Array;
  readonly withoutOthers: Int32Array;
  /** Passages of the largest group. */
  readonly largest: number;
}

export function gradedQueries(qrels: MergedQrels, passagesPerQuery: number): GradedQueries {
  const withoutOthers = growingInt32();
  let largest = 0;
  const eligible = keepRows(qrels.queryRows, (query) => {
    const all = graded(qrels, query, 0, passagesPerQuery);
    const isEligible = isGroup(all, passagesPerQuery);
    if (isEligible) largest = Math.max(largest, all.rows.length);
    else if (all.scores.some((label) => label > 0)) withoutOthers.push(query);
    return isEligible;
  });
  return { eligible, withoutOthers: withoutOthers.filled(), largest };
}

/** Passages a query's group can be cut from. */
export function gradedCount(qrels: MergedQrels, query: number, passagesPerQuery: number): number {
  return graded(qrels, query, 0, passagesPerQuery).rows.length;
}
