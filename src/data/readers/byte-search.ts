/** Finds one byte again and again in a buffer of many lines, passing over no place twice. */

/**
 * A search that begins anew for each line would run to the end of the buffer each time where the byte is rare, e.g. for
 * quotes in a CSV that has none: a square of the buffer's length.
 */
export class ByteSearch {
  #bytes: Buffer | null = null;
  /** The first place from the last search's beginning on; the buffer's length for none. */
  #next = 0;

  constructor(private readonly byte: number) {}

  /**
   * The first place in [from, end), or -1.
   *
   * @param from never before that of an earlier call on the same buffer, whose bytes stay as they are meanwhile.
   */
  find(bytes: Buffer, from: number, end: number): number {
    if (bytes !== this.#bytes || from > this.#next) {
      const found = bytes.indexOf(this.byte, from);
      this.#bytes = bytes;
      this.#next = found === -1 ? bytes.byteLength : found;
    }
    return this.#next < end ? this.#next : -1;
  }
}
