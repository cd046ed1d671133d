/** How the cache's entries look in a terminal: aligned columns, paths shortened. */
import { basename } from "node:path";
import type { CacheEntry, DamagedEntry } from "../index.js";
import { formatBytes } from "../report/format.js";
import { alignedLines, columnWidths } from "../report/text-width.js";

/** What the table depends on beside the entries. */
export interface TableLayout {
  /** Columns of the terminal. */
  readonly width: number;
  readonly home: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** Columns that paths get at least, however narrow the terminal. */
const LEAST_PATH = 24;

/** A table of entries with a line of headings. */
export function describeEntries(entries: readonly CacheEntry[], { width, home, now }: TableLayout): string {
  const rows = [
    ["kind", "size", "last used", "state", "name"],
    ...entries.map((entry) => [
      entry.kind,
      formatBytes(entry.bytes),
      describeAge(now - Date.parse(entry.lastUsedAt)),
      entry.state,
      shortName(entry.name),
    ]),
  ];
  const taken = columnWidths(rows).reduce((sum, column) => sum + column + 2, 0);
  const left = Math.max(LEAST_PATH, width - taken);
  const froms = ["built from", ...entries.map((entry) => describeOrigin(entry, home, left))];
  const all = rows.map((row, at) => [...row, froms[at] as string]);
  return alignedLines(all, (column) => rows[0]?.[column] === "size").join("\n");
}

/** A damaged entry in one line. */
export function describeDamage({ entry, files, isRemoved }: DamagedEntry): string {
  const outcome = isRemoved ? "removed, the next run builds it again" : "could not be removed";
  return `damaged: ${entry.path}: ${files.join(", ")} (${outcome})`;
}

function describeAge(ms: number): string {
  const hours = ms / 3_600_000;
  // The time is kept to within an hour.
  if (hours < 2) return "now";
  if (hours < 48) return `${Math.round(hours)} h ago`;
  return `${Math.round(hours / 24)} days ago`;
}

/** The hash that ends a name tells entries apart by its first digits. */
function shortName(name: string): string {
  return name.replace(/-([0-9a-f]{8})[0-9a-f]{8,}$/, "-$1");
}

function describeOrigin({ reason, sources }: CacheEntry, home: string, width: number): string {
  if (reason !== null) return home === "/" ? reason : reason.replace(`${home}/`, "~/");
  const [first] = sources;
  if (first === undefined) return "";
  const others = sources.length > 1 ? ` +${sources.length - 1}` : "";
  return `${shorten(first, home, width - others.length)}${others}`;
}

/** Home becomes "~"; of what is still too long the middle goes. */
function shorten(path: string, home: string, width: number): string {
  const whole = home !== "/" && path.startsWith(`${home}/`) ? `~${path.slice(home.length)}` : path;
  if (whole.length <= width) return whole;
  const name = basename(whole);
  if (name.length + 2 >= width) return `…${name.slice(Math.max(0, name.length - width + 1))}`;
  const head = whole.slice(0, width - name.length - 2);
  return `${head}…/${name}`;
}
