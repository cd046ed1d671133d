/** The binary view: one relevant passage and some negatives for each query; scored is the same with the sources' scores as labels. */
import type { BinaryConfig, ScoredConfig } from "../../experiment/schema.js";
import type { MergedQrels } from "../qrels/merged.js";
import { keepRows } from "../rows.js";
import type { Judgements } from "../types.js";
import { holds, inBoth, missingIn } from "./ascending.js";
import { chooseOne, chooseOrder } from "./choice.js";
import type { Relations } from "./relations.js";
import { NO_JUDGEMENTS, View, type ViewParts } from "./view.js";

/** Judgements of both sides over one numbering. */
export interface PairedQrels {
  readonly positives: MergedQrels;
  /** Null for in-batch negatives only. */
  readonly negatives: MergedQrels | null;
  readonly relations: Relations;
}

export class BinaryView extends View {
  constructor(
    parts: ViewParts,
    readonly options: BinaryConfig | ScoredConfig,
    private readonly qrels: PairedQrels,
    eligible: Int32Array,
  ) {
    super(parts, eligible);
  }

  protected override relevant(query: number): Int32Array {
    return this.qrels.positives.labels(query).rows;
  }

  protected override sideOf(place: number, query: number) {
    const { positives, negatives, relations } = this.qrels;
    if (place === 0) return { qrels: positives };
    return negatives && { qrels: negatives, ...exclusion(relations, query) };
  }

  protected override candidates(query: number, epoch: number, count: number): Judgements {
    const { seed, passagesPerQuery } = this.parts;
    const { kind, positiveChoice, negativeChoice } = this.options;
    const moment = { seed, epoch, query };
    const positives = this.qrels.positives.judgements(query, epoch);
    if (positives.rows.length === 0) return NO_JUDGEMENTS;
    const first = chooseOne(positiveChoice, positives.rows.length, moment);
    const negatives = usableNegatives(this.qrels, query, epoch);
    const perEpoch = passagesPerQuery - 1;
    const order = chooseOrder(negativeChoice, negatives.rows.length, perEpoch, count - 1, moment);
    const rows = new Int32Array(1 + order.length);
    const scores = new Float32Array(1 + order.length);
    const isScored = kind === "scored";
    rows[0] = positives.rows[first] as number;
    scores[0] = isScored ? (positives.scores[first] as number) : 1;
    for (let place = 0; place < order.length; place += 1) {
      const from = order[place] as number;
      rows[place + 1] = negatives.rows[from] as number;
      if (isScored) scores[place + 1] = negatives.scores[from] as number;
    }
    return { rows, scores };
  }
}

/** Negatives of a query in an epoch; what must not serve as one is left out before a source's group step. */
export function usableNegatives(qrels: PairedQrels, query: number, epoch: number): Judgements {
  const { negatives, relations } = qrels;
  if (negatives === null) return NO_JUDGEMENTS;
  return negatives.judgements(query, epoch, exclusion(relations, query).isExcluded);
}

/** What must not serve as a negative of a query; nothing to ask where that is nothing. */
function exclusion(relations: Relations, query: number): { readonly isExcluded?: (passage: number) => boolean } {
  const excluded = relations.excludedNegatives(query);
  return excluded.length === 0 ? {} : { isExcluded: (passage) => holds(excluded, passage) };
}

/** Queries with a positive, and with a negative where any are asked for, ascending. */
export function eligiblePairs(qrels: PairedQrels): Int32Array {
  const { positives, negatives, relations } = qrels;
  let eligible = hasGroupFilter(positives)
    ? keepRows(positives.queryRows, (query) => positives.judgements(query, 0).rows.length > 0)
    : positives.queryRows;
  if (negatives === null) return eligible;
  eligible = inBoth(eligible, negatives.queryRows);
  if (hasGroupFilter(negatives)) return keepRows(eligible, (query) => usableNegatives(qrels, query, 0).rows.length > 0);
  // Only queries whose two sides meet need a look at their passages.
  const unable = relations.queries.filter((query) => {
    const excluded = relations.excludedNegatives(query);
    return !negatives.hasCandidate(query, (passage) => holds(excluded, passage));
  });
  return unable.length === 0 ? eligible : missingIn(eligible, unable);
}

function hasGroupFilter({ sides }: MergedQrels): boolean {
  return sides.some(({ qrels }) => qrels.parts.algebra.groupFilter !== undefined);
}
