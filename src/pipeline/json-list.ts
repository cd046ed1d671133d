/** JSON files that are one long list, written element by element. */
import { writeFileDurably } from "../rundir/durable.js";

const FLUSH_CHARS = 1 << 20;

/**
 * Writes the very bytes of `JSON.stringify(elements, null, space)`, holding an element and about a million characters
 * at a time: a string of V8 ends at 512 MiB.
 *
 * @param elements values that JSON has
 * @throws QuarryError ENVIRONMENT, naming the folder, when the disk is full or refuses.
 */
export async function writeJsonList(
  path: string,
  elements: Iterable<unknown>,
  { space = 0, flushChars = FLUSH_CHARS } = {},
): Promise<void> {
  const end = space === 0 ? "" : "\n";
  await writeFileDurably(path, async (file) => {
    let buffer = "[";
    let isFirst = true;
    for (const element of elements) {
      // A list of one brings the indentation that the element has in a longer one.
      const text = JSON.stringify([element], null, space).slice(1 + end.length, -1 - end.length);
      buffer += `${isFirst ? "" : ","}${end}${text}`;
      isFirst = false;
      if (buffer.length < flushChars) continue;
      await file.write(buffer);
      buffer = "";
    }
    await file.write(`${buffer}${isFirst ? "" : end}]`);
  });
}
