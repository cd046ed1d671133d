/** Finds the end of a JSON string without escapes, four bytes at a time: most of a corpus is such strings. */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

const ONES = 0x01010101;
const HIGH = 0x80808080;
const QUOTES = 0x22222222;
const BACKSLASHES = 0x5c5c5c5c;
const SPACES = 0x20202020;

/** Scans strings in one buffer after the other; the words of a buffer are viewed once. */
export class PlainStrings {
  #bytes: Uint8Array | null = null;
  #words: Int32Array = new Int32Array(0);
  /** What must be added to a place so that it counts from the first word. */
  #shift = 0;

  /** Where the closing quote of the string whose content begins at `from` stands; -1 for one with escapes or without end. */
  end(bytes: Uint8Array, from: number, end: number): number {
    if (bytes !== this.#bytes) this.#view(bytes);
    const words = this.#words;
    const shift = this.#shift;
    let at = from;
    for (const aligned = Math.min(end, at + (-(at + shift) & 3)); at < aligned; at += 1) {
      const byte = bytes[at] as number;
      if (byte === QUOTE) return at;
      if (byte === BACKSLASH || byte < 0x20) return -1;
    }
    // A byte that is zero, or below 0x20, leaves its high bit set; a borrow may set the one above it, too, which only
    // makes the bytes of this word be looked at one by one.
    for (let word = (at + shift) >> 2; at + 4 <= end; at += 4, word += 1) {
      const four = words[word] as number;
      const quotes = four ^ QUOTES;
      const slashes = four ^ BACKSLASHES;
      const found = ((quotes - ONES) & ~quotes) | ((slashes - ONES) & ~slashes) | ((four - SPACES) & ~four);
      if ((found & HIGH) !== 0) break;
    }
    for (; at < end; at += 1) {
      const byte = bytes[at] as number;
      if (byte === QUOTE) return at;
      if (byte === BACKSLASH || byte < 0x20) return -1;
    }
    return -1;
  }

  #view(bytes: Uint8Array): void {
    const skipped = bytes.byteOffset & 3;
    const first = bytes.byteOffset - skipped;
    this.#words = new Int32Array(bytes.buffer, first, (bytes.buffer.byteLength - first) >> 2);
    this.#shift = skipped;
    this.#bytes = bytes;
  }
}
