/** The batch size at which a rival is fastest, so that each races at its best. */

/**
 * Two rounds over all sizes, there and back, and a third one for the two that lead. Other work on the machine can only
 * slow a round down, so each size is judged by its fastest one: after a single round sizes that lie 5 % apart were
 * mistaken for each other.
 *
 * @param time seconds of one round with this size
 * @example
 * await bestSize((size) => loop("probe.json", size), [4, 8, 16, 32]);
 */
export async function bestSize(time: (size: number) => Promise<number>, sizes: readonly number[]): Promise<number> {
  const fastest = new Map<number, number>();
  const ranked = (): number[] => [...sizes].sort((one, other) => secondsOf(one) - secondsOf(other));
  const secondsOf = (size: number): number => fastest.get(size) ?? Number.POSITIVE_INFINITY;
  const round = async (order: readonly number[]): Promise<void> => {
    for (const size of order) fastest.set(size, Math.min(secondsOf(size), await time(size)));
  };
  // Loading does not count.
  await time(sizes[0] as number);
  await round(sizes);
  await round([...sizes].reverse());
  await round(ranked().slice(0, 2));
  return ranked()[0] as number;
}
