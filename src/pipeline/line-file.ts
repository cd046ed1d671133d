/** A text file written line by line that is either whole or not there: a temporary one, synced, then renamed. */
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { diskError, syncFolder, temporaryName } from "../rundir/durable.js";

const FLUSH_CHARS = 1 << 20;

/** Holds at most about a million characters in memory, whatever the file's length. */
export class LineFile {
  #buffer = "";
  #lineCount = 0;

  private constructor(
    readonly path: string,
    private readonly temporary: string,
    private readonly file: FileHandle,
  ) {}

  /**
   * Missing folders are made.
   *
   * @throws QuarryError ENVIRONMENT, naming the file, when the disk is full or refuses; so do the others.
   */
  static async open(path: string): Promise<LineFile> {
    try {
      await mkdir(dirname(path), { recursive: true });
      const temporary = temporaryName(path);
      return new LineFile(path, temporary, await open(temporary, "wx"));
    } catch (thrown) {
      throw diskError(thrown, path);
    }
  }

  get lineCount(): number {
    return this.#lineCount;
  }

  /** Adds lines, without their ends. */
  async write(lines: Iterable<string>): Promise<void> {
    for (const line of lines) {
      this.#buffer += `${line}\n`;
      this.#lineCount += 1;
      if (this.#buffer.length >= FLUSH_CHARS) await this.#flush();
    }
  }

  /** Makes the file visible under its name. */
  async finish(): Promise<void> {
    await this.#flush();
    try {
      await this.file.sync();
      await this.file.close();
      await rename(this.temporary, this.path);
      await syncFolder(dirname(this.path));
    } catch (thrown) {
      throw diskError(thrown, this.path);
    }
  }

  /** Leaves nothing behind; does nothing once the file is finished. */
  async abandon(): Promise<void> {
    await this.file.close().catch(() => {});
    await rm(this.temporary, { force: true });
  }

  async #flush(): Promise<void> {
    const buffer = this.#buffer;
    this.#buffer = "";
    try {
      // Not file.write: it may take only a part on a disk that is nearly full.
      await this.file.appendFile(buffer);
    } catch (thrown) {
      throw diskError(thrown, this.path);
    }
  }
}
