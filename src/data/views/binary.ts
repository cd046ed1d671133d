/** The binary view: one relevant passage and some negatives for each query. */
import type { MaterializedQrels } from "../qrels/materialized.js";
import { Draws, PURPOSE, shuffleFirst } from "../random.js";
import type { StoredTexts } from "../texts/stored-texts.js";
import type { Judgements } from "../types.js";
import { View, type ViewParts } from "./view.js";

/** Judgements of one source, and where its passages begin in the training set's numbering. */
export interface BinarySide {
  readonly qrels: MaterializedQrels;
  readonly queries: StoredTexts;
  readonly passageOffset: number;
}

export interface BinaryOptions {
  readonly positives: BinarySide;
  /** Null for in-batch negatives only. */
  readonly negatives: BinarySide | null;
  readonly seed: number;
}

/** Judged queries that can form no group. */
export interface LeftOut {
  readonly judgedCount: number;
  readonly withoutPositives: number;
  readonly withoutNegatives: number;
}

/** Queries are numbered as in the positives' file of queries; other sources find theirs by id. */
export class BinaryView extends View {
  readonly leftOut: LeftOut;

  constructor(
    parts: ViewParts,
    private readonly options: BinaryOptions,
  ) {
    const { qrels } = options.positives;
    const eligible = qrels.queryRows.filter(
      (query) => options.negatives === null || usable(options, query).rows.length > 0,
    );
    super(parts, eligible);
    const judgedCount = qrels.annotatedQueryCount;
    this.leftOut = {
      judgedCount,
      withoutPositives: judgedCount - qrels.queryRows.length,
      withoutNegatives: qrels.queryRows.length - eligible.length,
    };
  }

  override knownPositives(query: number): Int32Array {
    return positivesOf(this.options.positives, query);
  }

  protected override candidates(query: number, epoch: number, count: number): Judgements {
    const { positives, negatives, seed } = this.options;
    const { rows } = positives.qrels.judgements(query, epoch);
    const place = new Draws(seed, epoch, query, PURPOSE.positive).below(rows.length);
    const positive = (rows[place] as number) + positives.passageOffset;
    if (negatives === null) return { rows: Int32Array.of(positive), scores: Float32Array.of(1) };
    const { queryRow, rows: allowed, scores } = usable(this.options, query, this.positiveSet(query));
    const order = negatives.qrels.select({ rows: allowed, scores }, queryRow, epoch).rows.slice();
    shuffleFirst(order, count - 1, new Draws(seed, epoch, query, PURPOSE.negatives));
    const all = new Int32Array(order.length + 1);
    all[0] = positive;
    for (let at = 0; at < order.length; at += 1) all[at + 1] = (order[at] as number) + negatives.passageOffset;
    const labels = new Float32Array(all.length);
    labels[0] = 1;
    return { rows: all, scores: labels };
  }
}

function positivesOf({ qrels, passageOffset }: BinarySide, query: number): Int32Array {
  return qrels.kept(query).rows.map((row) => row + passageOffset);
}

/** A query's negatives without its known positives, as rows of the negatives' corpus. */
function usable(
  { positives, negatives }: BinaryOptions,
  query: number,
  known: ReadonlySet<number> = new Set(positivesOf(positives, query)),
): Judgements & { queryRow: number } {
  const nothing = { rows: new Int32Array(0), scores: new Float32Array(0), queryRow: -1 };
  if (negatives === null) return nothing;
  const queryRow = sameQuery(positives.queries, query, negatives.queries);
  if (queryRow === -1) return nothing;
  const { rows, scores } = negatives.qrels.kept(queryRow);
  const isFree = (row: number): boolean => !known.has(row + negatives.passageOffset);
  return { rows: rows.filter(isFree), scores: scores.filter((_, at) => isFree(rows[at] as number)), queryRow };
}

/** The row of the same query (by id) in another file of queries, or -1. */
export function sameQuery(from: StoredTexts, row: number, to: StoredTexts): number {
  if (from.fingerprint === to.fingerprint) return row;
  const id = from.idBytes(row);
  return to.rowOfBytes(id, 0, id.byteLength);
}
