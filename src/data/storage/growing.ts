/** Buffers that grow while a file is read whose length in records nobody knows. */

/** Bytes of many spans, one after the other. */
export class GrowingBytes {
  bytes: Uint8Array;
  length = 0;

  constructor(capacity = 1 << 16) {
    this.bytes = new Uint8Array(capacity);
  }

  append(source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (this.length + length > this.bytes.byteLength) {
      const larger = new Uint8Array(Math.max(this.bytes.byteLength * 2, this.length + length));
      larger.set(this.bytes.subarray(0, this.length));
      this.bytes = larger;
    }
    // Ids are a few bytes long: copying them one by one is faster than making a view for set().
    if (length < 24) {
      for (let at = 0; at < length; at += 1) this.bytes[this.length + at] = source[start + at] as number;
    } else {
      this.bytes.set(source.subarray(start, end), this.length);
    }
    this.length += length;
  }
}

/** Numbers, one after the other. */
export class GrowingNumbers<Numbers extends Int32Array | Uint32Array | Float32Array> {
  numbers: Numbers;
  length = 0;

  constructor(private readonly make: (length: number) => Numbers) {
    this.numbers = make(1 << 12);
  }

  push(value: number): void {
    if (this.length === this.numbers.length) {
      const larger = this.make(this.length * 2);
      larger.set(this.numbers);
      this.numbers = larger;
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
