/** Asks for many ranges of a file ahead, in ascending order, with few calls: what lies close together is one range. */
import type { RandomFile } from "./random-file.js";

/** Bytes between two ranges that are read along: a request of its own costs a disk about as much. */
const GAP_BYTES = 16_384;

export class Ahead {
  #start = 0;
  #end = 0;

  constructor(private readonly file: RandomFile) {}

  /** Ranges come in ascending order; others are asked for as they are. */
  add(start: number, length: number): void {
    if (start < this.#start || start > this.#end + GAP_BYTES) {
      this.flush();
      this.#start = start;
      this.#end = start;
    }
    this.#end = Math.max(this.#end, start + length);
  }

  /** Asks for what was added last. */
  flush(): void {
    this.file.willNeed(this.#start, this.#end - this.#start);
    this.#start = 0;
    this.#end = 0;
  }
}
