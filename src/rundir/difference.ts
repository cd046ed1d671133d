/** Which options of two experiments differ, in words: `train.args.learningRate: 0.00002 → 0.00005`. */

/** A JSON value by its path; arrays are compared as a whole unless they are equally long. */
export function differences(before: unknown, after: unknown, path = ""): string[] {
  if (JSON.stringify(before) === JSON.stringify(after)) return [];
  const nested = childrenOf(before, after);
  if (nested === null) return [`${path}: ${show(before)} → ${show(after)}`];
  return nested.flatMap(([key, old, fresh]) => {
    const step = Array.isArray(before) ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`;
    return differences(old, fresh, step);
  });
}

/** Whether a JSON value is an object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Pairs of children by key where both sides are alike in shape; null where they must be compared as a whole. */
function childrenOf(before: unknown, after: unknown): [string, unknown, unknown][] | null {
  if (Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    return before.map((old: unknown, index) => [String(index), old, after[index]]);
  }
  if (!isRecord(before) || !isRecord(after)) return null;
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  return keys.map((key) => [key, before[key], after[key]]);
}

function show(value: unknown): string {
  if (value === undefined) return "(not set)";
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
