/** The options of an experiment one by one. */

/** Paths, as `train.loss.name`, and what stands there, of everything that is no object; a list is one value. */
export function leavesOf(value: unknown, path = ""): [path: string, value: unknown][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return [[path, value]];
  return Object.entries(value).flatMap(([key, child]) => leavesOf(child, path === "" ? key : `${path}.${key}`));
}
