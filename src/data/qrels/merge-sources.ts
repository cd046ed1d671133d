/** Joins the judgements of several sources, and sees to it before anything starts that they agree where they must. */
import type { MergeRule } from "../../experiment/schema.js";
import { judge } from "../findings.js";
import type { TextPool } from "../texts/text-pool.js";
import type { DataContext } from "../types.js";
import { MergedQrels, type Side } from "./merged.js";

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
  const merged = new MergedQrels(queries, sides, rule);
  const conflicts = rule === "error" ? merged.conflicts() : null;
  if (conflicts === null) return merged;
  judge(context, { ...conflicts, kind: "merge" });
  return new MergedQrels(queries, sides, "last");
}
