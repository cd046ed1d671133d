/** The algebra of judgements, slow and obvious: arrays of plain objects, a page that can be checked by reading it. */
import { drawSome, numbersOf } from "./draws.js";

/** A judgement as a person would write it down. */
export interface Judged {
  readonly queryId: string;
  readonly passageId: string;
  readonly score: number;
}

/** A source's options in plain words; functions are functions. */
export interface ReferenceOptions {
  readonly subset?: readonly string[];
  readonly minScore?: number;
  readonly maxScore?: number;
  readonly leftOut?: readonly string[];
  readonly filter?: (judged: Judged) => boolean;
  readonly groupFilter?: (group: readonly Judged[], random: () => number) => readonly Judged[];
  readonly groupTopK?: number;
  readonly groupBottomK?: number;
  readonly groupFirstK?: number;
  readonly groupRandomK?: number;
  readonly transform?: (judged: Judged) => number;
}

/** What a source draws its random numbers with. */
export interface ReferenceSeed {
  readonly seed: number;
  readonly source: number;
  readonly rowOf: (queryId: string) => number;
}

const SELECTION = 1;
const GROUP_FILTER = 8;

const isPair = (one: Judged, other: Judged): boolean =>
  one.queryId === other.queryId && one.passageId === other.passageId;

/** Lines of all files in order; a pair that is judged again gets the later score and keeps its place. */
export function readFiles(files: readonly (readonly Judged[])[]): Judged[] {
  const read: Judged[] = [];
  for (const judged of files.flat()) {
    const rounded = { ...judged, score: Math.fround(judged.score) };
    const place = read.findIndex((before) => isPair(before, judged));
    if (place === -1) read.push(rounded);
    else read[place] = rounded;
  }
  return read;
}

/** One source. */
export class ReferenceSource {
  readonly all: readonly Judged[];

  constructor(
    files: readonly (readonly Judged[])[],
    readonly options: ReferenceOptions,
    private readonly seeds: ReferenceSeed,
  ) {
    this.all = readFiles(files);
  }

  annotated(queryId: string): Judged[] {
    return this.all.filter((judged) => judged.queryId === queryId);
  }

  kept(queryId: string): Judged[] {
    const { subset, minScore, maxScore, leftOut, filter } = this.options;
    return this.annotated(queryId)
      .filter((judged) => subset === undefined || subset.includes(judged.queryId))
      .filter((judged) => minScore === undefined || judged.score >= Math.fround(minScore))
      .filter((judged) => maxScore === undefined || judged.score < Math.fround(maxScore))
      .filter((judged) => leftOut === undefined || !leftOut.includes(judged.passageId))
      .filter((judged) => filter === undefined || filter(judged));
  }

  select(queryId: string, group: readonly Judged[], epoch: number): readonly Judged[] {
    const { groupFilter, groupTopK, groupBottomK, groupFirstK, groupRandomK } = this.options;
    const draws = (purpose: number): (() => number) =>
      numbersOf({ ...this.seeds, epoch, row: this.seeds.rowOf(queryId), purpose });
    let left = group;
    if (groupFilter !== undefined && left.length > 0) left = groupFilter(left, draws(GROUP_FILTER));
    if (groupTopK !== undefined) return left.toSorted((one, two) => two.score - one.score).slice(0, groupTopK);
    if (groupBottomK !== undefined) return left.toSorted((one, two) => one.score - two.score).slice(0, groupBottomK);
    if (groupFirstK !== undefined) return left.slice(0, groupFirstK);
    if (groupRandomK === undefined || groupRandomK >= left.length) return left;
    const drawn = drawSome(left, groupRandomK, draws(SELECTION));
    return left.filter((judged) => drawn.includes(judged));
  }

  transform(group: readonly Judged[]): Judged[] {
    const { transform } = this.options;
    return group.map((judged) => ({
      ...judged,
      score: Math.fround(transform === undefined ? judged.score : transform(judged)),
    }));
  }

  judgements(queryId: string, epoch: number, isExcluded: (passageId: string) => boolean = () => false): Judged[] {
    const free = this.kept(queryId).filter((judged) => !isExcluded(judged.passageId));
    return this.transform(this.select(queryId, free, epoch));
  }

  labels(queryId: string): Judged[] {
    return this.transform(this.kept(queryId));
  }
}

/** Thrown under the rule `error`. */
export class ReferenceConflict extends Error {}

/** Several sources: one list, in order of first appearance. */
export function merge(rule: "last" | "first" | "max" | "error", lists: readonly (readonly Judged[])[]): Judged[] {
  const merged: Judged[] = [];
  for (const judged of lists.flat()) {
    const place = merged.findIndex((before) => isPair(before, judged));
    const before = merged[place];
    if (before === undefined) {
      merged.push(judged);
      continue;
    }
    if (rule === "error" && before.score !== judged.score) throw new ReferenceConflict();
    if (rule === "last") merged[place] = judged;
    if (rule === "max" && judged.score > before.score) merged[place] = judged;
  }
  return merged;
}
