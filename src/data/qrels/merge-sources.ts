/** Joins the judgements of several sources, and sees to it before anything starts that they agree where they must. */
import type { MergeRule } from "../../experiment/schema.js";
import { judge } from "../findings.js";
import type { TextPool } from "../texts/text-pool.js";
import type { DataContext } from "../types.js";
import { MergedQrels, type Side } from "./merged.js";
import { overrule } from "./relevant.js";

/**
 * Under the rule `error` every pair is compared at once: two sources that differ stop the opening with all places, not a
 * run in its thousandth step. A check only counts them, and goes on as if the last source won.
 *
 * @throws QuarryError DATA when two sources give a pair different scores and the rule is `error`.
 */
export function mergeSources(
  queries: TextPool,
  sides: readonly Side[],
  rule: MergeRule,
  context: DataContext,
): MergedQrels {
  const judged = sides.map((side): Side => ({ ...side, qrels: side.judged ?? side.qrels }));
  const conflicts = rule === "error" ? new MergedQrels(queries, judged, rule).conflicts() : null;
  if (conflicts !== null) judge(context, { ...conflicts, kind: "merge" });
  const merged = new MergedQrels(queries, sides, conflicts === null ? rule : "last");
  overrule(queries, sides, merged);
  return merged;
}
