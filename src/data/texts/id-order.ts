/** Orders ids by their UTF-8 bytes: what decides between equal scores. */

/** Below this many ids in a bucket, insertion is faster than counting. */
const SMALL = 24;

/** Elements moved in one step. */
const STRIDE = 1 << 18;

/** Ids one after the other: id i is [offsets[i], offsets[i + 1]) of `bytes`. */
export interface IdBytes {
  readonly bytes: Uint8Array;
  readonly offsets: Uint32Array;
  readonly count: number;
}

/**
 * The rank of each id among all, [count]: radix sort from the first byte on, without making a string. In steps of some
 * milliseconds; each gives how much is done, 0 to 1.
 *
 * @param scratch at least two numbers an id, overwritten; the ranks are a part of it.
 */
export function* rankSteps(ids: IdBytes, scratch: Int32Array): Generator<number, Int32Array, undefined> {
  const order = scratch.subarray(0, ids.count);
  for (let row = 0; row < ids.count; row += 1) order[row] = row;
  const spare = scratch.subarray(ids.count, 2 * ids.count);
  const ranges: [from: number, to: number, depth: number][] = [[0, ids.count, 0]];
  const counts: Counts = { starts: new Int32Array(258), next: new Int32Array(258) };
  let moved = 0;
  for (let range = ranges.pop(); range !== undefined; range = ranges.pop()) {
    const [from, to, depth] = range;
    if (to - from <= SMALL) sortSmall(ids, order, from, to, depth);
    else sortByByte(ids, order, spare, from, to, depth, ranges, counts);
    moved += to - from;
    if (moved < STRIDE) continue;
    moved = 0;
    // The last ranges come first, so what lies behind this one is done.
    yield 1 - to / ids.count;
  }
  const ranks = spare;
  for (let rank = 0; rank < ids.count; rank += 1) ranks[order[rank] as number] = rank;
  return ranks;
}

/** Room for counting, used again for every range: a hundred thousand small arrays would outlive the sorting. */
interface Counts {
  readonly starts: Int32Array;
  readonly next: Int32Array;
}

/** 0 for an id that is over, else the byte plus one. */
function byteAt(ids: IdBytes, row: number, depth: number): number {
  const at = (ids.offsets[row] as number) + depth;
  return at < (ids.offsets[row + 1] as number) ? (ids.bytes[at] as number) + 1 : 0;
}

function sortByByte(
  ids: IdBytes,
  order: Int32Array,
  spare: Int32Array,
  from: number,
  to: number,
  depth: number,
  ranges: [number, number, number][],
  { starts, next }: Counts,
): void {
  starts.fill(0);
  for (let at = from; at < to; at += 1) {
    const bucket = byteAt(ids, order[at] as number, depth) + 1;
    starts[bucket] = (starts[bucket] as number) + 1;
  }
  for (let bucket = 1; bucket < 258; bucket += 1) {
    starts[bucket] = (starts[bucket] as number) + (starts[bucket - 1] as number);
  }
  next.set(starts);
  for (let at = from; at < to; at += 1) {
    const bucket = byteAt(ids, order[at] as number, depth);
    const place = next[bucket] as number;
    spare[from + place] = order[at] as number;
    next[bucket] = place + 1;
  }
  order.set(spare.subarray(from, to), from);
  for (let bucket = 1; bucket < 257; bucket += 1) {
    const first = starts[bucket] as number;
    const end = starts[bucket + 1] as number;
    if (end - first > 1) ranges.push([from + first, from + end, depth + 1]);
  }
}

function sortSmall(ids: IdBytes, order: Int32Array, from: number, to: number, depth: number): void {
  for (let at = from + 1; at < to; at += 1) {
    const row = order[at] as number;
    let place = at;
    while (place > from && isBefore(ids, row, order[place - 1] as number, depth)) {
      order[place] = order[place - 1] as number;
      place -= 1;
    }
    order[place] = row;
  }
}

function isBefore(ids: IdBytes, one: number, other: number, from: number): boolean {
  for (let depth = from; ; depth += 1) {
    const left = byteAt(ids, one, depth);
    const right = byteAt(ids, other, depth);
    if (left !== right) return left < right;
    if (left === 0) return false;
  }
}
