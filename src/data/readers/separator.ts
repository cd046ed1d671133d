/** What separates columns: the option `delimiter`, checked. */
import { QuarryError } from "../../errors.js";
import type { SourceFile } from "./reader.js";

/**
 * The separator as a byte.
 *
 * @throws QuarryError CONFIG for what cannot be one: a quote, a line end, a character of several bytes.
 */
export function separatorOf({ path, delimiter }: SourceFile, usual: string): number {
  const chosen = delimiter ?? usual;
  const code = chosen.charCodeAt(0);
  if (code < 0x80 && !'"\r\n\0'.includes(chosen)) return code;
  throw new QuarryError("CONFIG", `${path}: the delimiter ${JSON.stringify(chosen)} cannot separate columns.`, {
    hint: 'Use one ASCII character, e.g. ",", ";", "|" or "\\t".',
  });
}
