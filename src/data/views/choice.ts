/** Which passages of many an epoch takes: the next ones, random ones, or the first. */
import { countUp, Draws, PURPOSE, shuffleFirst } from "../random.js";

/** As the options positiveChoice and negativeChoice say. */
export type Choice = "rotate" | "random" | "first";

/** What a choice depends on besides the number of passages. */
export interface Moment {
  readonly seed: number;
  readonly epoch: number;
  readonly query: number;
}

/**
 * The place of the one that an epoch takes of `count`. `rotate` begins anywhere and goes on by one in each epoch:
 * (start + epoch) mod count.
 */
export function chooseOne(choice: Choice, count: number, { seed, epoch, query }: Moment): number {
  if (choice === "first" || count === 1) return 0;
  if (choice === "random") return new Draws(seed, epoch, query, PURPOSE.positive).below(count);
  return (new Draws(seed, 0, query, PURPOSE.positive).below(count) + epoch) % count;
}

/**
 * Places 0 to count - 1 in the order of their use, the first `wanted` of them where there are so many; a larger
 * `wanted` leaves the first ones as they are. An epoch uses `perEpoch` of them. `rotate` has one order for all epochs,
 * a circle on which each epoch goes on where the one before ended, so all are used before any comes again.
 */
export function chooseOrder(
  choice: Choice,
  count: number,
  perEpoch: number,
  wanted: number,
  { seed, epoch, query }: Moment,
): Int32Array {
  const order = countUp(count);
  const length = Math.min(count, wanted);
  if (choice === "first" || count === 0) return order.subarray(0, length);
  if (choice === "random") {
    shuffleFirst(order, length, new Draws(seed, epoch, query, PURPOSE.negatives));
    return order.subarray(0, length);
  }
  const start = (epoch * perEpoch) % count;
  shuffleFirst(order, start + length, new Draws(seed, 0, query, PURPOSE.negatives));
  if (start + length <= count) return order.subarray(start, start + length);
  const round = new Int32Array(length);
  round.set(order.subarray(start));
  round.set(order.subarray(0, start + length - count), count - start);
  return round;
}
