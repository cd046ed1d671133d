/** Which of the candidates that are left become negatives: a pure function of the seed and the query. */
import { countUp, Draws, PURPOSE, shuffleFirst } from "../../data/index.js";
import type { Candidate, MiningRules } from "./types.js";

/**
 * Takes up to `negativesPerQuery` candidates, without replacement, and leaves them in order of rank.
 *
 * - `top`: the first ones;
 * - `random`: each as likely as any other;
 * - `weighted`: by softmax(score / temperature), one after the other, as if drawn from those that are left. Adding
 *   Gumbel noise to score / temperature and taking the largest is that very draw (Kool, van Hoof and Welling, ICML 2019).
 */
export function sample(candidates: readonly Candidate[], rules: MiningRules, queryRow: number): Candidate[] {
  const { negativesPerQuery: wanted, sampling } = rules;
  if (sampling === "top" || candidates.length <= wanted) return candidates.slice(0, wanted);
  const draws = new Draws(rules.seed, 0, queryRow, PURPOSE.mining);
  const places = sampling === "random" ? drawn(candidates.length, wanted, draws) : weighted(candidates, rules, draws);
  return [...places].sort((one, two) => one - two).map((place) => candidates[place] as Candidate);
}

function drawn(count: number, wanted: number, draws: Draws): Int32Array {
  const places = countUp(count);
  shuffleFirst(places, wanted, draws);
  return places.subarray(0, wanted);
}

function weighted(candidates: readonly Candidate[], rules: MiningRules, draws: Draws): number[] {
  const keys = candidates.map(({ score }) => score / rules.temperature + gumbel(draws));
  const places = keys.map((_, place) => place);
  places.sort((one, two) => (keys[two] as number) - (keys[one] as number) || one - two);
  return places.slice(0, rules.negativesPerQuery);
}

function gumbel(draws: Draws): number {
  // unit() may be 0 and is never 1.
  return -Math.log(-Math.log(draws.unit() || Number.MIN_VALUE));
}
