/** Results on file, and the table that is made of them; both grow cell by cell. */
import { appendFile, readFile } from "node:fs/promises";
import { COLLECTIONS, type Result, type Settings, VARIANTS, type Variant } from "./settings.js";

const NAMES: Readonly<Record<Variant, string>> = {
  before: "before training",
  inBatch: "in-batch negatives",
  mined: "with mined negatives",
  custom: "with graded labels and another loss",
};

/** What is on file; a line that was cut by a kill counts for nothing. */
export async function readResults(path: string): Promise<Result[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw thrown;
  }
  // Only what a line end follows was written to its end.
  return text
    .split("\n")
    .slice(0, -1)
    .filter((line) => line.startsWith("{") && line.endsWith("}"))
    .map((line) => JSON.parse(line) as Result);
}

/** Adds a result; a line end goes first, so that a cut line before it stays alone. */
export async function addResult(path: string, result: Result): Promise<void> {
  await appendFile(path, `\n${JSON.stringify(result)}\n`);
}

/** The table of all results, cells that are missing left open. */
export function toTable(results: readonly Result[], settings: Settings): string {
  const header = ["nDCG@10, mean (least – most of n seeds)", ...COLLECTIONS];
  const rows = VARIANTS.map((variant) => {
    const name = variant === "custom" ? `with graded labels, loss \`${settings.loss}\`` : NAMES[variant];
    return [
      name,
      ...COLLECTIONS.map((collection) =>
        cell(results.filter((each) => each.variant === variant && each.collection === collection)),
      ),
    ];
  });
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(header), line(header.map(() => "---")), ...rows.map(line)].join("\n");
}

/** Each seed's value, for whoever wants to see what the means are made of. */
export function toDetails(results: readonly Result[]): string {
  const order = (result: Result): number =>
    COLLECTIONS.indexOf(result.collection) * 10 + VARIANTS.indexOf(result.variant);
  const rows = results
    .toSorted((one, other) => order(one) - order(other) || one.seed - other.seed)
    .map(
      ({ collection, variant, seed, nDCG, recall, seconds }) =>
        `| ${collection} | ${NAMES[variant]} | ${variant === "before" ? "" : seed} | ${nDCG.toFixed(4)} | ${recall.toFixed(4)} | ${Math.round(seconds)} |`,
    );
  return [
    "| collection | training | seed | nDCG@10 | R@100 | seconds |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}

function cell(results: readonly Result[]): string {
  if (results.length === 0) return "";
  const values = results.map(({ nDCG }) => nDCG);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  if (values.length === 1) return mean.toFixed(4);
  return `${mean.toFixed(4)} (${Math.min(...values).toFixed(4)} – ${Math.max(...values).toFixed(4)}, ${values.length})`;
}
