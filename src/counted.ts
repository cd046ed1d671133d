/** Counts in words, as people read them. */

/**
 * A number with what it counts.
 *
 * @param many the plural, perhaps with its verb
 * @param one the singular; default: the plural without its s, -ies turned into -y
 * @example
 * counted(12_345, "queries"); // "12,345 queries"
 * counted(1, "queries"); // "1 query"
 * counted(1, "lines repeat an id", "line repeats an id"); // "1 line repeats an id"
 */
export function counted(count: number, many: string, one = many.replace(/ies$/, "ys").replace(/s$/, "")): string {
  return `${Math.round(count).toLocaleString("en-US")} ${count === 1 ? one : many}`;
}
