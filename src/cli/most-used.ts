/** The part of a verb's help that lists options of the experiment, with the sentences of the schema. */
import { fieldAt } from "../experiment/shape.js";

const nameWidth = 28;
const textWidth = 80 - 2 - nameWidth;

/** One option a line within 80 columns, and where the others are described. */
export function describeOptions(paths: readonly string[]): string {
  const lines = paths.map((path) => {
    const field = fieldAt(path.split("."));
    const value = field?.defaultValue;
    const isPlain = ["string", "number", "boolean"].includes(typeof value);
    const shown = isPlain ? ` (${value as string | number | boolean})` : "";
    const text = gist(field?.sentence ?? "");
    return `  ${`--${path}`.padEnd(nameWidth)}${text}${text.length + shown.length > textWidth ? "" : shown}`;
  });
  return ["Options of the experiment, among others (all of them: docs/options.md):", ...lines].join("\n");
}

/** A sentence up to its first reservation, or what fits. */
function gist(sentence: string): string {
  const clause = sentence.replace(/; .*$/s, "").replace(/\.$/, "");
  return clause.length <= textWidth ? clause : clause.replace(/: .*$/s, "");
}
