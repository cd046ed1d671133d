/** Random numbers that are a pure function of (seed, epoch, row, purpose): the same on any rank, in any order, without state. */

/** What a number is drawn for; each purpose has a stream of its own. */
export const PURPOSE = {
  order: 0,
  selection: 1,
  positive: 2,
  negatives: 3,
  mix: 4,
  part: 5,
  groupFilter: 8,
  mining: 9,
} as const;

/**
 * Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC11): a counter-based
 * generator of additions, rotations and exclusive ors, so it is the same in every language.
 *
 * @param out receives the two words.
 */
export function threefry(key0: number, key1: number, counter0: number, counter1: number, out: Uint32Array): void {
  const key2 = 0x1bd11bda ^ key0 ^ key1;
  let x0 = (counter0 + key0) | 0;
  let x1 = (counter1 + key1) | 0;
  for (let group = 0; group < 5; group += 1) {
    const isEven = (group & 1) === 0;
    x0 = (x0 + x1) | 0;
    x1 = isEven ? (x1 << 13) | (x1 >>> 19) : (x1 << 17) | (x1 >>> 15);
    x1 ^= x0;
    x0 = (x0 + x1) | 0;
    x1 = isEven ? (x1 << 15) | (x1 >>> 17) : (x1 << 29) | (x1 >>> 3);
    x1 ^= x0;
    x0 = (x0 + x1) | 0;
    x1 = isEven ? (x1 << 26) | (x1 >>> 6) : (x1 << 16) | (x1 >>> 16);
    x1 ^= x0;
    x0 = (x0 + x1) | 0;
    x1 = isEven ? (x1 << 6) | (x1 >>> 26) : (x1 << 24) | (x1 >>> 8);
    x1 ^= x0;
    const next = (group + 1) % 3;
    const after = (group + 2) % 3;
    x0 = (x0 + (next === 0 ? key0 : next === 1 ? key1 : key2)) | 0;
    x1 = (x1 + (after === 0 ? key0 : after === 1 ? key1 : key2) + group + 1) | 0;
  }
  out[0] = x0;
  out[1] = x1;
}

/** What threefry() wrote last; nobody keeps it. */
const words = new Uint32Array(2);

/** The seed of a part of a mix: parts draw independently of each other; the first one draws as it would alone. */
export function partSeed(seed: number, part: number): number {
  if (part === 0) return seed;
  threefry(seed, part, 0, PURPOSE.part << 24, words);
  return words[0] as number;
}

/** One stream of whole numbers. */
export class Draws {
  readonly #seed: number;
  #next: number;

  /** `stream` keeps sources apart that share a row numbering; from 16 on they have seeds of their own. */
  constructor(
    seed: number,
    readonly epoch: number,
    readonly row: number,
    purpose: number,
    stream = 0,
  ) {
    this.#seed = stream < 16 ? seed : partSeed(seed, stream >>> 4);
    this.#next = ((stream & 15) << 28) | (purpose << 24);
  }

  /** A number in [0, 1): the top 53 of 64 bits. */
  unit(): number {
    threefry(this.#seed, this.epoch, this.row, this.#next, words);
    this.#next += 1;
    const high = words[0] as number;
    const low = words[1] as number;
    return (high * 0x200000 + (low >>> 11)) / 0x20000000000000;
  }

  /** A whole number in [0, n), from the top 53 of 64 bits. */
  below(n: number): number {
    return Math.floor(this.unit() * n);
  }
}

/**
 * Puts a random choice into the first `count` places of `items` (Fisher and Yates); a larger count leaves the first
 * places as they are.
 */
export function shuffleFirst(items: Int32Array, count: number, draws: Draws): void {
  const last = Math.min(count, items.length - 1);
  for (let place = 0; place < last; place += 1) {
    const other = place + draws.below(items.length - place);
    const taken = items[other] as number;
    items[other] = items[place] as number;
    items[place] = taken;
  }
}

/** The numbers 0 to count - 1. */
export function countUp(count: number): Int32Array {
  const numbers = new Int32Array(count);
  for (let number = 0; number < count; number += 1) numbers[number] = number;
  return numbers;
}
