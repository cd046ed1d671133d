/** The options of an experiment one by one. */

/** Paths, as `train.loss.name`, and JSON of everything that is no object; a list is one value. */
export function leavesOf(value: unknown, path = ""): [path: string, json: string][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [[path, JSON.stringify(value)]];
  return Object.entries(value).flatMap(([key, child]) => leavesOf(child, path === "" ? key : `${path}.${key}`));
}
