/** The keys that a file's first record has, told from the file's first bytes even where the record goes on behind them. */

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** How a JSON file begins. */
export interface Opening {
  /** `list` is a line such as ["a", "b", "c"]; `elements` is a file that is one list of objects. */
  readonly kind: "object" | "list" | "elements";
  /** Keys of the first object, its own and not those inside its values, as far as they can be seen. */
  readonly keys: ReadonlySet<string>;
}

/**
 * Null where the content begins with neither an object nor a list of objects or strings.
 *
 * @param head the beginning of the content, without byte order mark.
 */
export function openingOf(head: Buffer): Opening | null {
  let at = skipSpace(head, 0);
  const isList = head[at] === 0x5b;
  if (isList) at = skipSpace(head, at + 1);
  if (isList && head[at] === QUOTE) return { kind: "list", keys: new Set() };
  if (head[at] !== 0x7b) return null;
  const keys = new Set<string>();
  let depth = 1;
  let isKeyNext = true;
  for (at += 1; at < head.length && depth > 0; at += 1) {
    const byte = head[at] as number;
    if (byte === QUOTE) {
      const end = endOfString(head, at);
      if (end > head.length) break;
      if (isKeyNext && depth === 1) keys.add(keyIn(head.toString("utf8", at, end)));
      isKeyNext = false;
      at = end - 1;
    } else if (byte === 0x7b || byte === 0x5b) depth += 1;
    else if (byte === 0x7d || byte === 0x5d) depth -= 1;
    else if (byte === 0x2c && depth === 1) isKeyNext = true;
  }
  return { kind: isList ? "elements" : "object", keys };
}

function keyIn(written: string): string {
  try {
    return JSON.parse(written) as string;
  } catch {
    return written.slice(1, -1);
  }
}

/** Where the string that begins at `from` is over; beyond the end where it is not. */
function endOfString(head: Buffer, from: number): number {
  for (let at = from + 1; at < head.length; at += 1) {
    if (head[at] === BACKSLASH) at += 1;
    else if (head[at] === QUOTE) return at + 1;
  }
  return head.length + 1;
}

function skipSpace(head: Buffer, from: number): number {
  let at = from;
  while (at < head.length && (head[at] as number) <= 0x20) at += 1;
  return at;
}
