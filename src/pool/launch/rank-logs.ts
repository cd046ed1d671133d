/** The logs of one torchrun: a file for each rank and one for torchrun itself. */
import { createWriteStream, type WriteStream } from "node:fs";
import { join } from "node:path";
import { finished } from "node:stream/promises";

const KEPT_LINES = 20;

/** One appended file a rank and one for torchrun itself, with the last lines of each at hand for an error. */
export class RankLogs {
  readonly #dir: string;
  readonly #files = new Map<string, { readonly stream: WriteStream; readonly last: string[] }>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  add(rank: number | null, text: string): void {
    const name = rank === null ? "torchrun" : `rank-${rank}`;
    let file = this.#files.get(name);
    if (file === undefined) {
      const stream = createWriteStream(join(this.#dir, `${name}.log`), { flags: "a" });
      // A full disk must not end the training: the events still tell what happens.
      stream.on("error", () => undefined);
      file = { stream, last: [] };
      this.#files.set(name, file);
    }
    file.stream.write(`${text}\n`);
    file.last.push(text);
    if (file.last.length > KEPT_LINES) file.last.shift();
  }

  lastLines(rank: number | null): readonly string[] {
    return this.#files.get(rank === null ? "torchrun" : `rank-${rank}`)?.last ?? [];
  }

  /** Resolves when all is written that will be; a log on a full disk was closed when that was found. */
  async close(): Promise<void> {
    const streams = [...this.#files.values()].map(({ stream }) => stream.end());
    await Promise.allSettled(streams.map((stream) => finished(stream)));
  }
}
