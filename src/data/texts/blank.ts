/** Tells texts without content: nothing, or nothing but white space. */

/** What Unicode calls white space beyond ASCII, and the byte order mark. */
const WIDE_SPACES: ReadonlySet<number> = new Set([
  ...[0x85, 0xa0, 0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a],
  ...[0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0xfeff],
]);

/** Whether UTF-8 bytes hold white space alone; control characters count as such. Nothing is decoded. */
export function isBlank(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; ) {
    const byte = bytes[at] as number;
    if (byte <= 0x20) {
      at += 1;
      continue;
    }
    // Other white space takes two bytes from 0xc2 on, or three.
    if (byte < 0xc2 || byte > 0xef) return false;
    const isLong = byte >= 0xe0;
    const second = (bytes[at + 1] as number) & 0x3f;
    const code = isLong
      ? ((byte & 0x0f) << 12) | (second << 6) | ((bytes[at + 2] as number) & 0x3f)
      : ((byte & 0x1f) << 6) | second;
    if (!WIDE_SPACES.has(code)) return false;
    at += isLong ? 3 : 2;
  }
  return true;
}
