/** Rates over the last seconds, from counts that only the caller knows. */

interface Sample {
  readonly timeMs: number;
  readonly count: number;
}

/**
 * Texts per second over a sliding window.
 *
 * Counts come in bursts of a whole unit, which may lie further apart than the window: so the rate spans from one burst
 * to another, never from an empty moment just before a burst.
 */
export class Rate {
  /** The beginning and every moment at which the count grew, as far as the window goes back, two at least. */
  readonly #samples: Sample[] = [];

  constructor(private readonly windowMs = 10_000) {}

  /** Takes the count so far and gives the rate per second; null until half a second is covered. */
  update(timeMs: number, count: number): number | null {
    const before = this.#samples.at(-1)?.count;
    // What a worker had done was lost with it: no rate spans that.
    if (before !== undefined && count < before) this.#samples.length = 0;
    if (count !== before) this.#samples.push({ timeMs, count });
    while (this.#samples.length > 2 && (this.#samples[1] as Sample).timeMs < timeMs - this.windowMs)
      this.#samples.shift();
    const [first, last] = [this.#samples[0] as Sample, this.#samples.at(-1) as Sample];
    if (first === last) return null;
    const gapMs = (last.timeMs - first.timeMs) / (this.#samples.length - 1);
    // Long overdue: the silence counts, so that a stalled worker's rate falls.
    const endMs = timeMs - last.timeMs > 2 * gapMs ? timeMs : last.timeMs;
    return endMs - first.timeMs < 500 ? null : ((last.count - first.count) / (endMs - first.timeMs)) * 1_000;
  }
}
