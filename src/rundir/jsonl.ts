/** Files of JSON lines that only grow: what a crash tore off at the end is cut away before anything is added. */
import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";

const newline = 0x0a;
const blockBytes = 64 * 1024;

/** Position after the last newline: where the last whole line ends. */
async function lastLineEnd(file: FileHandle, bytes: number): Promise<number> {
  const block = Buffer.alloc(Math.min(blockBytes, bytes));
  for (let end = bytes; end > 0; ) {
    const start = Math.max(0, end - blockBytes);
    const { bytesRead } = await file.read(block, 0, end - start, start);
    const found = block.subarray(0, bytesRead).lastIndexOf(newline);
    if (found >= 0) return start + found + 1;
    end = start;
  }
  return 0;
}

/** Opens a file of lines for reading and adding; a last line without its newline is cut off. */
export async function openLines(path: string): Promise<{ file: FileHandle; bytes: number }> {
  const file = await open(path, "a+", 0o644);
  try {
    const { size } = await file.stat();
    const bytes = await lastLineEnd(file, size);
    if (bytes < size) await file.truncate(bytes);
    return { file, bytes };
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
}

/**
 * The lines one after the other, without their ends, however long the file is; none where no file is. The last one may
 * have been torn by a crash.
 *
 * @example
 * for await (const line of linesOf("runs/a/train/steps.jsonl")) console.log(line);
 */
export async function* linesOf(path: string, highWaterMark = blockBytes): AsyncGenerator<string> {
  let rest = "";
  try {
    for await (const block of createReadStream(path, { encoding: "utf8", highWaterMark })) {
      const lines = `${rest}${block as string}`.split("\n");
      rest = lines.pop() as string;
      yield* lines;
    }
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
  }
  if (rest !== "") yield rest;
}

/** What the lines hold, one after the other; a line that a death tore is left out. */
export async function* recordsOf(path: string): AsyncGenerator<Readonly<Record<string, unknown>>> {
  for await (const line of linesOf(path)) {
    const record = jsonOrNull(line);
    if (record !== null) yield record as Readonly<Record<string, unknown>>;
  }
}

/** What a text holds; null for one that was cut short or damaged. */
export function jsonOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
