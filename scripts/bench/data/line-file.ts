/** A file written line by line through one large buffer. */
import { closeSync, openSync, writeSync } from "node:fs";

const BUFFER_BYTES = 8 << 20;
/** Room that is always left for a line; the longest one (36 passages in Tevatron's file) takes a tenth of it. */
const LINE_BYTES = 1 << 20;

export class LineFile {
  readonly bytes = Buffer.allocUnsafe(BUFFER_BYTES + LINE_BYTES);
  /** Where the next byte goes. */
  at = 0;
  readonly #fd: number;

  constructor(path: string) {
    this.#fd = openSync(path, "w");
  }

  ascii(text: string): void {
    for (let at = 0; at < text.length; at += 1) this.bytes[this.at++] = text.charCodeAt(at);
  }

  /** A whole number, 0 or more, in decimal. */
  number(value: number): void {
    let length = 1;
    for (let rest = value; rest >= 10; rest = Math.floor(rest / 10)) length += 1;
    let rest = value;
    for (let at = this.at + length - 1; at >= this.at; at -= 1) {
      this.bytes[at] = 48 + (rest % 10);
      rest = Math.floor(rest / 10);
    }
    this.at += length;
  }

  triplet(query: number, passage: number, score: string): void {
    this.number(query);
    this.ascii("\t");
    this.number(passage);
    this.ascii("\t");
    this.ascii(score);
    this.ascii("\n");
  }

  /** Call after each line: hands the buffer to the file when it is full. */
  endLine(): void {
    if (this.at >= BUFFER_BYTES) this.#flush();
  }

  close(): void {
    this.#flush();
    closeSync(this.#fd);
  }

  #flush(): void {
    for (let at = 0; at < this.at; ) at += writeSync(this.#fd, this.bytes, at, this.at - at);
    this.at = 0;
  }
}
