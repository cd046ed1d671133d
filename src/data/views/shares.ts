/** Who stands where when several parts are mixed: places are dealt out in proportion to weights, without any state. */
import { Draws, PURPOSE, shuffleFirst } from "../random.js";

/** Cycles that stay in memory; steps are asked for in order, so two would do. */
const KEPT_CYCLES = 8;

/** A place in the sequence of a part: the `ordinal`-th of the part's own. */
export interface Turn {
  readonly part: number;
  readonly ordinal: number;
}

interface Cycle {
  /** Part of each place. */
  readonly parts: Int32Array;
  /** Place in the part's own sequence. */
  readonly ordinals: Float64Array;
}

/**
 * Deals places out in cycles. Up to the beginning of each cycle a part has had its share rounded to whole places: of n
 * places the first part takes ⌊n · w₀ / Σw⌉, the second takes of the rest in the same way, and so on; ⌊·⌉ rounds halves
 * up. So a part is off its exact share by half a place for each part before it at most, and no turn is ever lost. Within
 * a cycle the places stand in a seeded random order.
 */
export class Shares {
  readonly #weights: readonly bigint[];
  readonly #cycles = new Map<number, Cycle>();

  /**
   * @param weights above 0; whole numbers count exactly, others to 2^-53 of the largest.
   * @param cycleLength places of a cycle.
   */
  constructor(
    weights: readonly number[],
    readonly seed: number,
    readonly cycleLength: number,
  ) {
    const most = Math.max(...weights);
    this.#weights = weights.every(Number.isSafeInteger)
      ? weights.map(BigInt)
      : weights.map((weight) => BigInt(Math.max(1, Math.round((weight / most) * 2 ** 53))));
  }

  /** Who has the `place`-th turn. */
  turn(place: number): Turn {
    const number = Math.floor(place / this.cycleLength);
    const { parts, ordinals } = this.#cycle(number);
    const at = place - number * this.cycleLength;
    return { part: parts[at] as number, ordinal: ordinals[at] as number };
  }

  /** Turns that each part has had before the `place`-th one, where `place` begins a cycle. */
  #before(place: number): number[] {
    let rest = BigInt(place);
    let weightLeft = this.#weights.reduce((sum, weight) => sum + weight, 0n);
    return this.#weights.map((weight) => {
      const taken = (2n * rest * weight + weightLeft) / (2n * weightLeft);
      rest -= taken;
      weightLeft -= weight;
      return Number(taken);
    });
  }

  #cycle(number: number): Cycle {
    const known = this.#cycles.get(number);
    if (known !== undefined) return known;
    const next = this.#before(number * this.cycleLength);
    const ends = this.#before((number + 1) * this.cycleLength);
    const parts = new Int32Array(this.cycleLength);
    let at = 0;
    for (const [part, end] of ends.entries()) {
      const quota = end - (next[part] as number);
      parts.fill(part, at, at + quota);
      at += quota;
    }
    shuffleFirst(parts, this.cycleLength, new Draws(this.seed, number, 0, PURPOSE.mix));
    const ordinals = Float64Array.from(parts, (part) => {
      const ordinal = next[part] as number;
      next[part] = ordinal + 1;
      return ordinal;
    });
    if (this.#cycles.size >= KEPT_CYCLES) this.#cycles.clear();
    this.#cycles.set(number, { parts, ordinals });
    return { parts, ordinals };
  }
}
