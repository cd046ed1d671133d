/** The part of a verb's help that lists options of the experiment, with the sentences of the schema. */
import { fieldAt } from "../experiment/shape.js";

const nameWidth = 28;

/** One option a line within 80 columns, and where the others are described. */
export function describeOptions(paths: readonly string[]): string {
  const lines = paths.map((path) => {
    const field = fieldAt(path.split("."));
    const value = field?.defaultValue;
    const shown = value === undefined || Array.isArray(value) ? "" : ` (${String(value)})`;
    return `  ${`--${path}`.padEnd(nameWidth)}${gist(field?.sentence ?? "")}${shown}`;
  });
  return ["Options of the experiment, among others (all of them: docs/options.md):", ...lines].join("\n");
}

/** A sentence up to its first reservation, or what fits. */
function gist(sentence: string): string {
  const clause = sentence.replace(/; .*$/s, "").replace(/\.$/, "");
  return clause.length <= 50 ? clause : clause.replace(/: .*$/s, "");
}
