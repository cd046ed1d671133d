/** The documented generator once more, written slowly from src/data/README.md: Threefry-2x32-20 on BigInt. */

const MASK = 0xffff_ffffn;
const ROTATIONS = [13n, 15n, 26n, 6n, 17n, 29n, 16n, 24n] as const;

function rotate(word: bigint, by: bigint): bigint {
  return ((word << by) | (word >> (32n - by))) & MASK;
}

/** Both output words for key (seed, epoch) and a counter. */
function words(key: readonly [number, number], counter: readonly [number, number]): [bigint, bigint] {
  const [k0, k1] = [BigInt(key[0]) & MASK, BigInt(key[1]) & MASK];
  const keys = [k0, k1, 0x1bd11bdan ^ k0 ^ k1];
  let x0 = (BigInt(counter[0]) + k0) & MASK;
  let x1 = (BigInt(counter[1]) + k1) & MASK;
  for (let round = 0; round < 20; round += 1) {
    x0 = (x0 + x1) & MASK;
    x1 = rotate(x1, ROTATIONS[round % 8] as bigint) ^ x0;
    if (round % 4 === 3) {
      const step = (round + 1) / 4;
      x0 = (x0 + (keys[step % 3] as bigint)) & MASK;
      x1 = (x1 + (keys[(step + 1) % 3] as bigint) + BigInt(step)) & MASK;
    }
  }
  return [x0, x1];
}

/** What numbers are drawn for. */
export interface Stream {
  readonly seed: number;
  readonly epoch: number;
  /** The query's row in its own table. */
  readonly row: number;
  readonly purpose: number;
  /** The number of the source. */
  readonly source: number;
}

/** Numbers in [0, 1), one after the other. */
export function numbersOf({ seed, epoch, row, purpose, source }: Stream): () => number {
  let draw = 0;
  return () => {
    const counter = ((source << 28) | (purpose << 24) | draw) >>> 0;
    draw += 1;
    const [high, low] = words([seed, epoch], [row, counter]);
    return Number((high << 21n) | (low >> 11n)) / 2 ** 53;
  };
}

/** Fisher and Yates from the front: what stands in the first `count` places. */
export function drawSome<Item>(items: readonly Item[], count: number, next: () => number): Item[] {
  const left = items.slice();
  const drawn: Item[] = [];
  for (let place = 0; place < count; place += 1) {
    // The last one left takes no draw.
    const other = left.length === 1 ? 0 : Math.floor(next() * left.length);
    drawn.push(left[other] as Item);
    // The first one takes the place of the one that was drawn.
    left[other] = left[0] as Item;
    left.shift();
  }
  return drawn;
}
