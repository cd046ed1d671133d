/** Counts what each step of a source's algebra leaves. */
import type { Judgements } from "../types.js";
import { callFilter } from "./function-calls.js";
import { choose, pick } from "./group-choice.js";
import type { MaterializedQrels } from "./materialized.js";

/** Judgements and queries that are left after a step, for reports. */
export interface StepCount {
  /** The step as the user wrote it, e.g. "minScore 1". */
  readonly step: string;
  readonly judgements: number;
  readonly queries: number;
}

interface Stage {
  readonly step: string;
  readonly run: (before: Judgements, queryRow: number) => Judgements;
  judgements: number;
  queries: number;
}

/** Each step on what the one before left, query by query, in epoch 0; every function is called for every judgement. */
export function countSteps(qrels: MaterializedQrels): StepCount[] {
  const stages = stagesOf(qrels);
  for (let row = 0; row < qrels.parts.stored.queryCount; row += 1) {
    let left = qrels.annotated(row);
    for (const stage of stages) {
      if (left.rows.length === 0) break;
      left = stage.run(left, row);
      stage.judgements += left.rows.length;
      if (left.rows.length > 0) stage.queries += 1;
    }
  }
  return stages.map(({ step, judgements, queries }) => ({ step, judgements, queries }));
}

function stagesOf(qrels: MaterializedQrels): Stage[] {
  const { algebra, subset, leftOut } = qrels.parts;
  const { minScore, maxScore, filter, groupFilter, scoreTransform } = algebra;
  const stages: Stage[] = [];
  const add = (step: string, run: Stage["run"]): void => {
    stages.push({ step, run, judgements: 0, queries: 0 });
  };
  const keep = (step: string, isKept: (queryRow: number, passageRow: number, score: number) => boolean): void =>
    add(step, (before, queryRow) => {
      const places: number[] = [];
      for (let at = 0; at < before.rows.length; at += 1) {
        if (isKept(queryRow, before.rows[at] as number, before.scores[at] as number)) places.push(at);
      }
      return places.length === before.rows.length ? before : pick(before, Int32Array.from(places));
    });
  keep("qrels", () => true);
  if (subset !== null) keep("querySubset", (queryRow) => qrels.isInSubset(queryRow));
  if (minScore !== undefined) keep(`minScore ${minScore}`, (_query, _passage, score) => score >= Math.fround(minScore));
  if (maxScore !== undefined) keep(`maxScore ${maxScore}`, (_query, _passage, score) => score < Math.fround(maxScore));
  if (leftOut.length > 0) keep("emptyTexts drop", (_query, passageRow) => !qrels.isLeftOut(passageRow));
  if (filter !== undefined) {
    keep(`filter ${filter.name}`, (query, passage, score) => callFilter(filter, qrels, query, passage, score));
  }
  if (groupFilter !== undefined) {
    add(`groupFilter ${groupFilter.name}`, (before, queryRow) => qrels.filterGroup(before, queryRow, 0));
  }
  for (const option of ["groupTopK", "groupBottomK", "groupFirstK", "groupRandomK"] as const) {
    const limit = algebra[option];
    if (limit !== undefined)
      add(`${option} ${limit}`, (before, queryRow) => choose(before, algebra, qrels.parts, queryRow, 0));
  }
  if (scoreTransform !== undefined) {
    add(`scoreTransform ${transformName(scoreTransform)}`, (before, queryRow) => qrels.transform(before, queryRow));
  }
  return stages;
}

function transformName(option: NonNullable<MaterializedQrels["parts"]["algebra"]["scoreTransform"]>): string {
  if (typeof option !== "object") return String(option);
  if ("map" in option) return JSON.stringify(option.map);
  return option.name;
}
