/** Judgements of all queries as memory-mapped numbers. */
import { join } from "node:path";
import { CheckedFile } from "../storage/checked-file.js";
import type { Judgements, Origin } from "../types.js";
import { QRELS_FILE, type QrelsContent } from "./build.js";

export class StoredQrels {
  readonly #file: CheckedFile;
  readonly #content: QrelsContent;

  /** @param paths the files the user named, for origins. */
  constructor(
    folder: string,
    content: QrelsContent,
    private readonly paths: readonly string[],
    onDamage: () => void,
  ) {
    const { queryCount, judgementCount, fileCount } = content;
    const columns = fileCount > 1 ? 4 : 3;
    const numbers = queryCount + 1 + columns * judgementCount;
    this.#content = content;
    this.#file = new CheckedFile(join(folder, QRELS_FILE), numbers * 4, onDamage);
  }

  get queryCount(): number {
    return this.#content.queryCount;
  }

  /** Where each query's judgements begin, [queryCount + 1]. */
  offsets(): Int32Array {
    return this.#file.int32(0, this.queryCount + 1);
  }

  /** All judgements of a query, as views. */
  of(queryRow: number): Judgements {
    const [first = 0, end = 0] = this.#range(queryRow);
    return {
      rows: this.#file.int32(this.#start(0) + first, end - first),
      scores: this.#file.float32(this.#start(1) + first, end - first),
    };
  }

  origin(queryRow: number, passageRow: number): Origin | null {
    const [first = 0, end = 0] = this.#range(queryRow);
    const place = this.#file.int32(this.#start(0) + first, end - first).indexOf(passageRow);
    if (place === -1) return null;
    const line = this.#file.int32(this.#start(2) + first + place, 1)[0] as number;
    const file = this.#content.fileCount > 1 ? (this.#file.int32(this.#start(3) + first + place, 1)[0] as number) : 0;
    return { file: this.paths[file] as string, line };
  }

  close(): void {
    this.#file.close();
  }

  #range(queryRow: number): Int32Array {
    if (!(queryRow >= 0 && queryRow < this.queryCount)) {
      throw new RangeError(`query row ${queryRow} is not in [0, ${this.queryCount})`);
    }
    return this.#file.int32(queryRow, 2);
  }

  /** The first number of a column. */
  #start(column: number): number {
    return this.queryCount + 1 + column * this.#content.judgementCount;
  }
}
