/** Rates over the last seconds, from counts that only the caller knows. */

/** Texts per second over a sliding window. */
export class Rate {
  readonly #samples: { readonly timeMs: number; readonly count: number }[] = [];

  constructor(private readonly windowMs = 5_000) {}

  /** Takes the count so far and gives the rate per second; null until half a second is covered. */
  update(timeMs: number, count: number): number | null {
    this.#samples.push({ timeMs, count });
    while ((this.#samples[1]?.timeMs ?? timeMs) < timeMs - this.windowMs) this.#samples.shift();
    const first = this.#samples[0];
    if (first === undefined || timeMs - first.timeMs < 500) return null;
    return (Math.max(0, count - first.count) / (timeMs - first.timeMs)) * 1_000;
  }
}
