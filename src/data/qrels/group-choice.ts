/** The choice of some judgements of a query: the best, the worst, the first or random ones. */
import type { SourceConfig } from "../../experiment/schema.js";
import { countUp, Draws, PURPOSE, shuffleFirst } from "../random.js";
import type { Judgements } from "../types.js";

/** At most one of them is set. */
export type GroupChoice = Pick<SourceConfig, "groupTopK" | "groupBottomK" | "groupFirstK" | "groupRandomK">;

/** What a random choice depends on. */
export interface ChoiceSeed {
  readonly seed: number;
  readonly stream: number;
}

/** How many judgements of a query are taken at most. */
export function choiceLimit({ groupTopK, groupBottomK, groupFirstK, groupRandomK }: GroupChoice): number {
  return groupTopK ?? groupBottomK ?? groupFirstK ?? groupRandomK ?? Number.POSITIVE_INFINITY;
}

/**
 * Top and bottom come in the order of their scores, equal scores in the order they have; first and random ones keep the
 * order they have. The scores are those before the transform.
 */
export function choose(
  judgements: Judgements,
  choice: GroupChoice,
  { seed, stream }: ChoiceSeed,
  queryRow: number,
  epoch: number,
): Judgements {
  const { rows, scores } = judgements;
  const limit = choiceLimit(choice);
  const isSorted = choice.groupTopK !== undefined || choice.groupBottomK !== undefined;
  if (!isSorted && limit >= rows.length) return judgements;
  const places = countUp(rows.length);
  if (choice.groupTopK !== undefined) {
    places.sort((one, other) => (scores[other] as number) - (scores[one] as number) || one - other);
  } else if (choice.groupBottomK !== undefined) {
    places.sort((one, other) => (scores[one] as number) - (scores[other] as number) || one - other);
  } else if (choice.groupRandomK !== undefined) {
    shuffleFirst(places, limit, new Draws(seed, epoch, queryRow, PURPOSE.selection, stream));
    return pick(judgements, places.subarray(0, limit).sort());
  }
  return pick(judgements, places.subarray(0, limit));
}

/** The judgements at these places, copied. */
export function pick({ rows, scores }: Judgements, places: Int32Array): Judgements {
  return {
    rows: places.map((place) => rows[place] as number),
    scores: Float32Array.from(places, (place) => scores[place] as number),
  };
}
