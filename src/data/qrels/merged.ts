/** Judgements of several sources over one numbering of queries and passages: who wins where two judge a pair. */
import { QuarryError } from "../../errors.js";
import type { MergeRule, SourceConfig } from "../../experiment/schema.js";
import { EXAMPLE_LIMIT } from "../failures.js";
import type { Example, Finding } from "../findings.js";
import { formatFloat32 } from "../float32.js";
import type { StoredTexts } from "../texts/stored-texts.js";
import type { TextPool } from "../texts/text-pool.js";
import type { JudgementOrigin, Judgements, Origin, Qrels } from "../types.js";
import type { MaterializedQrels } from "./materialized.js";
import { QueryLinks } from "./query-links.js";

/** One source's judgements, and where its passages begin in the numbering. */
export interface Side {
  readonly source: SourceConfig;
  readonly qrels: MaterializedQrels;
  readonly queries: StoredTexts;
  readonly passageOffset: number;
  /** Of positives: the judgements by the user's own options; the merge has to see those of 0 before they leave. */
  readonly judged?: MaterializedQrels | undefined;
}

/** Some of a source's judgements of a query, by its row there. */
type Take = (side: Side, row: number) => Judgements;

interface Linked extends Side {
  readonly links: QueryLinks;
}

const DIFFERENT_HINT = 'Mend one of the sources, or choose who wins with merge: "last", "first" or "max".';

/** What a source says in any epoch: all steps but the group's. */
const labelsOf: Take = ({ qrels }, row) => qrels.transform(qrels.kept(row), row);

/** Two sources that give a pair different scores. */
interface Conflict {
  readonly query: number;
  readonly passage: number;
  readonly score: number;
  readonly other: number;
}

/** What one source says of a pair. */
interface Judging extends JudgementOrigin {
  readonly passageId: string;
  /** The score that counts for it; null where its filters left the judgement out. */
  readonly score: number | null;
}

/**
 * Sources in order. Queries are the same where their ids are; they have the number of the first table that holds it.
 * Passages are the same where their tables and rows are.
 */
export class MergedQrels implements Qrels {
  readonly #sides: readonly Linked[];
  #queryRows: Int32Array | null = null;

  constructor(
    readonly queries: TextPool,
    readonly sides: readonly Side[],
    readonly rule: MergeRule,
  ) {
    this.#sides = sides.map((side) => ({ ...side, links: new QueryLinks(queries, side.queries) }));
  }

  /** Queries with a judgement after subset and filters, ascending. */
  get queryRows(): Int32Array {
    this.#queryRows ??= this.#findQueries();
    return this.#queryRows;
  }

  /**
   * All steps of every source, then the merge, in order of first appearance.
   *
   * @param isExcluded passages that leave before the group steps.
   * @throws QuarryError DATA under the rule `error` when two sources differ.
   */
  judgements(query: number, epoch: number, isExcluded?: (passage: number) => boolean): Judgements {
    const draw = drawnIn(epoch, isExcluded);
    return this.#merge(query, this.rule, (side, row) => side.qrels.transform(draw(side, row), row));
  }

  /**
   * Without the group steps: what the sources say of a query in any epoch.
   *
   * @throws QuarryError DATA under the rule `error` when two sources differ.
   */
  labels(query: number): Judgements {
    return this.#merge(query, this.rule, labelsOf);
  }

  /** Passages of a query that the sources' own options keep, and the judgement that counts makes no positives. */
  irrelevant(query: number): ReadonlySet<number> {
    const rule = this.rule === "error" ? "last" : this.rule;
    const { rows, scores } = this.#merge(query, rule, ({ qrels, judged = qrels }, row) => {
      const kept = judged.kept(row);
      return { rows: kept.rows, scores: kept.scores.map((score) => (qrels.isInside(score) ? 1 : 0)) };
    });
    return new Set(rows.filter((_, at) => scores[at] === 0));
  }

  /** As written, whatever the algebra says; where the rule is `error`, the last source counts. */
  annotated(query: number): Judgements {
    return this.#merge(query, this.rule === "error" ? "last" : this.rule, ({ qrels }, row) => qrels.annotated(row));
  }

  /** Whether a query has a passage after subset and filters for which `isExcluded` is not true. */
  hasCandidate(query: number, isExcluded: (passage: number) => boolean): boolean {
    return this.#sides.some(({ qrels, links, passageOffset }) => {
      const row = links.rowOf(query);
      return row !== -1 && qrels.hasKept(row, shifted(isExcluded, passageOffset));
    });
  }

  origin(query: number, passage: number): Origin | null {
    return this.judgement(query, passage)?.origin ?? null;
  }

  /**
   * The judgement that counts for a pair; where the filters left none, the one that would have counted.
   *
   * @param epoch of a group: only what its group steps drew then counts; null for what any epoch may draw.
   * @param isExcluded as of judgements().
   */
  judgement(
    query: number,
    passage: number,
    epoch: number | null = null,
    isExcluded?: (passage: number) => boolean,
  ): JudgementOrigin | null {
    const judging = this.#judging(query, passage, epoch === null ? undefined : drawnIn(epoch, isExcluded));
    const kept = judging.filter(({ score }) => score !== null);
    const found = kept.length > 0 ? kept : judging;
    if (this.rule === "first") return found[0] ?? null;
    if (this.rule !== "max") return found.at(-1) ?? null;
    return found.reduce<Judging | null>(
      (most, each) => (most === null || (each.score ?? 0) >= (most.score ?? 0) ? each : most),
      null,
    );
  }

  /**
   * Pairs that two sources give different scores after all steps but the group's; null when there are none. Only the
   * rule `error` forbids them.
   */
  conflicts(): Omit<Finding, "kind"> | null {
    const examples: Example[] = [];
    let count = 0;
    if (this.#sides.length < 2) return null;
    for (const query of this.queryRows) {
      this.#merge(query, "error", labelsOf, (conflict) => {
        count += 1;
        if (examples.length < EXAMPLE_LIMIT) examples.push(this.#describe(conflict));
      });
    }
    if (count === 0) return null;
    const places = this.#sides.flatMap(({ qrels }) => qrels.parts.stored.paths);
    return {
      subject: [...new Set(places)].join(", "),
      words: ["pair has different scores in two sources", "pairs have different scores in two sources"],
      count,
      examples,
      hint: DIFFERENT_HINT,
    };
  }

  #merge(
    query: number,
    rule: MergeRule,
    take: Take,
    onConflict: (conflict: Conflict) => void = (conflict) => this.#refuse(conflict),
  ): Judgements {
    let only: Judgements | null = null;
    let labels: Map<number, number> | null = null;
    for (const side of this.#sides) {
      const row = side.links.rowOf(query);
      if (row === -1) continue;
      const { passageOffset } = side;
      const taken = take(side, row);
      if (taken.rows.length === 0) continue;
      const own = passageOffset === 0 ? taken : { ...taken, rows: taken.rows.map((each) => each + passageOffset) };
      if (only === null && labels === null) {
        only = own;
        continue;
      }
      if (labels === null) {
        labels = new Map();
        add(labels, only as Judgements, query, rule, onConflict);
        only = null;
      }
      add(labels, own, query, rule, onConflict);
    }
    if (labels !== null) return { rows: Int32Array.from(labels.keys()), scores: Float32Array.from(labels.values()) };
    return only ?? { rows: new Int32Array(0), scores: new Float32Array(0) };
  }

  #refuse(conflict: Conflict): never {
    const { place, detail } = this.#describe(conflict);
    throw new QuarryError("DATA", `${place}: ${detail}.`, { hint: DIFFERENT_HINT });
  }

  #describe({ query, passage, score, other }: Conflict): Example {
    const judging = this.#judging(query, passage).filter((each) => each.score !== null);
    const places = judging.map(({ origin }) => `${origin.file}:${origin.line}`);
    const ids = `query ${JSON.stringify(this.queries.id(query))}, passage ${JSON.stringify(judging[0]?.passageId)}`;
    return {
      place: places[0] ?? "",
      detail: `${ids} has the score ${formatFloat32(score)} here and ${formatFloat32(other)} in ${places.slice(1).join(", ")}`,
    };
  }

  /** The sources that judge a pair, in order; `take` gives the judgements of a query whose scores count. */
  #judging(query: number, passage: number, take: Take = ({ qrels }, row) => qrels.kept(row)): Judging[] {
    return this.#sides.flatMap((side) => {
      const { source, qrels, links, passageOffset } = side;
      const row = links.rowOf(query);
      const own = passage - passageOffset;
      if (row === -1 || own < 0 || own >= qrels.passages.rowCount) return [];
      const origin = qrels.origin(row, own);
      if (origin === null) return [];
      const kept = take(side, row);
      const at = kept.rows.indexOf(own);
      const one = { rows: kept.rows.subarray(at, at + 1), scores: kept.scores.subarray(at, at + 1) };
      const score = at === -1 ? null : (qrels.transform(one, row).scores[0] as number);
      return [{ origin, source, score, passageId: qrels.passages.id(own) }];
    });
  }

  #findQueries(): Int32Array {
    const [first] = this.#sides;
    if (first !== undefined && this.#sides.length === 1 && first.links.isIdentity) return first.qrels.queryRows;
    const found: Int32Array[] = this.#sides.map(({ qrels, links }) =>
      links.isIdentity ? qrels.queryRows : qrels.queryRows.map((row) => links.numberOf(row)).sort(),
    );
    return found.reduce(union, new Int32Array(0));
  }
}

function add(
  labels: Map<number, number>,
  { rows, scores }: Judgements,
  query: number,
  rule: MergeRule,
  onConflict: (conflict: Conflict) => void,
): void {
  for (let at = 0; at < rows.length; at += 1) {
    const passage = rows[at] as number;
    const score = scores[at] as number;
    const before = labels.get(passage);
    if (before !== undefined && before !== score) {
      if (rule === "error") onConflict({ query, passage, score: before, other: score });
      if (rule === "first" || (rule === "max" && before > score)) continue;
    }
    labels.set(passage, score);
  }
}

/** What the group steps draw in an epoch, of all but the excluded passages. */
function drawnIn(epoch: number, isExcluded?: (passage: number) => boolean): Take {
  return ({ qrels, passageOffset }, row) => {
    const kept = qrels.kept(row);
    return qrels.select(isExcluded === undefined ? kept : without(kept, passageOffset, isExcluded), row, epoch);
  };
}

function shifted(isExcluded: (passage: number) => boolean, offset: number): (passageRow: number) => boolean {
  return offset === 0 ? isExcluded : (passageRow) => isExcluded(passageRow + offset);
}

function without({ rows, scores }: Judgements, offset: number, isOut: (passage: number) => boolean): Judgements {
  let count = 0;
  for (let at = 0; at < rows.length; at += 1) {
    if (isOut((rows[at] as number) + offset)) continue;
    rows[count] = rows[at] as number;
    scores[count] = scores[at] as number;
    count += 1;
  }
  return { rows: rows.subarray(0, count), scores: scores.subarray(0, count) };
}

/** Of two ascending lists of numbers, each once; the result is as well. */
function union(one: Int32Array, other: Int32Array): Int32Array {
  if (one.length === 0) return other;
  const whole = new Int32Array(one.length + other.length);
  let count = 0;
  for (let left = 0, right = 0; left < one.length || right < other.length; ) {
    const next = Math.min(one[left] ?? Number.POSITIVE_INFINITY, other[right] ?? Number.POSITIVE_INFINITY);
    if (one[left] === next) left += 1;
    if (other[right] === next) right += 1;
    whole[count] = next;
    count += 1;
  }
  return whole.slice(0, count);
}
