/** A text file written line by line that is either whole or not there. */
import { NewFile } from "../rundir/durable.js";

const FLUSH_CHARS = 1 << 20;

/** Writes one file; nothing is left of it where that fails. */
export async function writeLines(path: string, write: (file: LineFile) => Promise<void>): Promise<void> {
  const file = await LineFile.open(path);
  try {
    await write(file);
    await file.finish();
  } catch (thrown) {
    await file.abandon();
    throw thrown;
  }
}

/** Holds at most about a million characters in memory, whatever the file's length. */
export class LineFile {
  #buffer = "";
  #lineCount = 0;

  private constructor(private readonly file: NewFile) {}

  /**
   * Missing folders are made.
   *
   * @throws QuarryError ENVIRONMENT, naming the folder, when the disk is full or refuses; so do the others.
   */
  static async open(path: string): Promise<LineFile> {
    return new LineFile(await NewFile.open(path));
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
    await this.file.finish();
  }

  /** Leaves nothing behind; does nothing once the file is finished. */
  async abandon(): Promise<void> {
    await this.file.abandon();
  }

  async #flush(): Promise<void> {
    const buffer = this.#buffer;
    this.#buffer = "";
    await this.file.write(buffer);
  }
}
