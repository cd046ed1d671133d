/** Buffers that grow while records come of which nobody knows how many there are. */

/** The longest array: what Node 20 allows, less the byte that keeps an end in 32 bits. */
export const MAX_BYTES = 2 ** 32 - 1;
/** From here on a buffer grows by half instead of doubling: what is copied and what lies idle stay small. */
const LARGE_BYTES = 16 << 20;

/** The next capacity; growing ahead stops at `limit`, what is needed now does not. */
export function grown(capacity: number, needed: number, bytesEach: number, limit: number): number {
  const ahead = capacity * bytesEach < LARGE_BYTES ? capacity * 2 : Math.ceil(capacity * 1.5);
  return Math.max(needed, Math.min(ahead, limit));
}

/** Bytes of many spans, one after the other. */
export class GrowingBytes {
  bytes: Uint8Array;
  length = 0;

  constructor(private readonly limit = MAX_BYTES) {
    this.bytes = new Uint8Array(Math.min(1 << 16, limit));
  }

  /** Makes room for `capacity` bytes in all; room that is never used stays untouched and costs no memory. */
  reserve(capacity: number): void {
    if (capacity <= this.bytes.byteLength) return;
    const larger = new Uint8Array(capacity);
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }

  append(source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    const at = this.length;
    if (at + length > this.bytes.byteLength) {
      this.reserve(grown(this.bytes.byteLength, at + length, 1, this.limit));
    }
    // Ids are a few bytes long: copying them one by one is faster than making a view for set().
    if (length < 24) {
      const { bytes } = this;
      for (let index = 0; index < length; index += 1) bytes[at + index] = source[start + index] as number;
    } else {
      this.bytes.set(source.subarray(start, end), at);
    }
    this.length = at + length;
  }
}

/** Numbers, one after the other. */
export class GrowingNumbers<Numbers extends Int32Array | Uint32Array | Float32Array | Float64Array> {
  numbers: Numbers;
  length = 0;

  constructor(private readonly make: (length: number) => Numbers) {
    this.numbers = make(1 << 12);
  }

  /** Makes room for `capacity` numbers in all; room that is never used stays untouched and costs no memory. */
  reserve(capacity: number): void {
    if (capacity <= this.numbers.length) return;
    const larger = this.make(capacity);
    larger.set(this.numbers.subarray(0, this.length));
    this.numbers = larger;
  }

  push(value: number): void {
    if (this.length === this.numbers.length) {
      const bytesEach = this.numbers.BYTES_PER_ELEMENT;
      this.reserve(grown(this.length, this.length + 1, bytesEach, Math.floor(MAX_BYTES / bytesEach)));
    }
    this.numbers[this.length] = value;
    this.length += 1;
  }

  /** What was pushed, as a view. */
  filled(): Numbers {
    return this.numbers.subarray(0, this.length) as Numbers;
  }
}

/** A growing array of int32. */
export function growingInt32(): GrowingNumbers<Int32Array> {
  return new GrowingNumbers((length) => new Int32Array(length));
}
