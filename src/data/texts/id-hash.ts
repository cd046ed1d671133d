/** The fingerprint of an id: two independent 32-bit lanes over its bytes. */

/** Both lanes of the id in [start, end), written into `out`. */
export function hashId(bytes: Uint8Array, start: number, end: number, out: Int32Array): void {
  let one = 0x811c9dc5 | 0;
  let two = 0x9747b28c | 0;
  for (let at = start; at < end; at += 1) {
    const byte = bytes[at] as number;
    one = Math.imul(one ^ byte, 0x01000193);
    two = Math.imul((two << 5) ^ (two >>> 27) ^ byte, 0x5bd1e995);
  }
  const length = end - start;
  out[0] = finish(one ^ length);
  out[1] = finish(two + length);
}

/** The finaliser of MurmurHash3: spreads every bit over all others. */
function finish(lane: number): number {
  let mixed = lane ^ (lane >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) | 0;
}

/** Whether two ranges of bytes are equal. */
export function areEqual(one: Uint8Array, from: number, other: Uint8Array, otherFrom: number, length: number): boolean {
  for (let at = 0; at < length; at += 1) if (one[from + at] !== other[otherFrom + at]) return false;
  return true;
}
