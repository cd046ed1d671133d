/** The lines that a file of JSON lines has gained since it was last looked at. */
import { open } from "node:fs/promises";
import { jsonOrNull } from "../../rundir/jsonl.js";

/** Read at a time. */
const BLOCK_BYTES = 1 << 20;

/** A file that grows while it is read; it may not be there yet, and may be written anew. */
export class Tail {
  #position = 0;
  #rest = Buffer.alloc(0);

  constructor(private readonly path: string) {}

  /** What the whole new lines hold; a line that is no JSON was torn by a death. */
  async *fresh(): AsyncGenerator<Record<string, unknown>> {
    const file = await open(this.path).catch((thrown: NodeJS.ErrnoException) => {
      if (thrown.code === "ENOENT") return null;
      throw thrown;
    });
    if (file === null) return;
    try {
      const { size } = await file.stat();
      if (size < this.#position) [this.#position, this.#rest] = [0, Buffer.alloc(0)];
      while (this.#position < size) {
        const block = Buffer.alloc(Math.min(BLOCK_BYTES, size - this.#position));
        const { bytesRead } = await file.read(block, 0, block.length, this.#position);
        if (bytesRead === 0) return;
        this.#position += bytesRead;
        const bytes = Buffer.concat([this.#rest, block.subarray(0, bytesRead)]);
        const end = bytes.lastIndexOf("\n") + 1;
        this.#rest = bytes.subarray(end);
        for (const line of bytes.toString("utf8", 0, end).split("\n")) {
          const record = jsonOrNull(line);
          if (record !== null) yield record as Record<string, unknown>;
        }
      }
    } finally {
      await file.close();
    }
  }
}
