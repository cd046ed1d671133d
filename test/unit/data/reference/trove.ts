/**
 * Trove's own rules for judgements and groups, stated again from its published code (arXiv 2511.01857:
 * containers/materialized_qrel.py, data/ir_dataset_binary.py, data/ir_dataset_multilevel.py), where they leave nothing
 * to chance.
 */

/** A row of Trove's qrel files. */
export interface Triplet {
  readonly qid: string;
  readonly docid: string;
  readonly score: number;
}

/** Arguments of Trove's MaterializedQRelConfig under Quarry's names. */
export interface Arguments {
  readonly minScore?: number;
  readonly maxScore?: number;
  readonly subset?: ReadonlySet<string>;
  readonly filter?: (triplet: Triplet) => boolean;
  readonly groupFilter?: (group: readonly Triplet[]) => readonly Triplet[];
  readonly groupTopK?: number;
  readonly groupBottomK?: number;
  readonly groupFirstK?: number;
  /** Trove's "floor" is Python's int(), which cuts the fraction off. */
  readonly scoreTransform?: number | "floor" | "ceil" | ((triplet: Triplet) => number);
}

/** MaterializedQRel: filters once, then group filter and transform whenever a query is asked for. */
export class TroveQrel {
  readonly groups = new Map<string, Triplet[]>();

  constructor(
    triplets: readonly Triplet[],
    private readonly args: Arguments,
  ) {
    const { minScore, maxScore, subset, filter } = args;
    for (const triplet of triplets) {
      if (subset !== undefined && !subset.has(triplet.qid)) continue;
      // A filter_fn takes the place of both thresholds.
      const isKept =
        filter?.(triplet) ??
        ((minScore === undefined || minScore <= triplet.score) && (maxScore === undefined || triplet.score < maxScore));
      if (!isKept) continue;
      const group = this.groups.get(triplet.qid) ?? [];
      this.groups.set(triplet.qid, [...group, triplet]);
    }
  }

  /** Python's sorted() is stable, also with reverse=True. */
  related(qid: string): Triplet[] {
    const { groupFilter, groupTopK, groupBottomK, groupFirstK, scoreTransform } = this.args;
    let group: readonly Triplet[] = this.groups.get(qid) ?? [];
    if (groupFilter !== undefined) group = groupFilter(group);
    else if (groupFirstK !== undefined) group = group.slice(0, groupFirstK);
    else if (groupBottomK !== undefined)
      group = group.toSorted((one, two) => one.score - two.score).slice(0, groupBottomK);
    else if (groupTopK !== undefined) group = group.toSorted((one, two) => two.score - one.score).slice(0, groupTopK);
    return group.map((triplet) => ({ ...triplet, score: transformed(triplet, scoreTransform) }));
  }
}

function transformed(triplet: Triplet, by: Arguments["scoreTransform"]): number {
  if (by === undefined) return triplet.score;
  if (typeof by === "number") return by;
  if (by === "floor") return Math.trunc(triplet.score);
  return by === "ceil" ? Math.ceil(triplet.score) : by(triplet);
}

/** Groups are Python dicts from docid to record, filled collection by collection: the first one's place, the last one's value. */
export function mergedGroup(collections: readonly TroveQrel[], qid: string): Triplet[] {
  const records = new Map<string, Triplet>();
  for (const collection of collections)
    for (const triplet of collection.related(qid)) records.set(triplet.docid, triplet);
  return [...records.values()];
}

/** BinaryDataset with positive_passage_no_shuffle and negative_passage_no_shuffle; null where Trove draws by chance. */
export function binaryGroup(
  positives: readonly Triplet[],
  negatives: readonly Triplet[],
  groupSize: number,
): { docids: string[]; labels: number[] } | null {
  if (negatives.length < groupSize - 1) return null;
  if (negatives.some(({ docid }) => positives.some((positive) => positive.docid === docid))) {
    throw new Error("Some documents are used as both positive and negatives for the same query.");
  }
  const group = [positives[0] as Triplet, ...negatives.slice(0, groupSize - 1)];
  return { docids: group.map(({ docid }) => docid), labels: group.map((_, at) => (at === 0 ? 1 : 0)) };
}

/** MultiLevelDataset's passage_selection_strategy: by (score, _id), cycled when there are too few. */
export function multiLevelGroup(
  group: readonly Triplet[],
  groupSize: number,
  strategy: "most_relevant" | "least_relevant",
): Triplet[] {
  const sorted = group.toSorted((one, two) => one.score - two.score || (one.docid < two.docid ? -1 : 1));
  if (strategy === "most_relevant") sorted.reverse();
  return Array.from({ length: groupSize }, (_, at) => sorted[at % sorted.length] as Triplet);
}
