/** The similarities that come with Quarry, so that a wrong one is answered before Python starts. */
import type { Problem } from "./explain.js";
import { unknownName } from "./plugin-checks.js";
import type { ExperimentConfig } from "./schema.js";

/** Names as in Python. A test compares them with the runtime's registry. */
export const SIMILARITIES: readonly string[] = ["cosine", "dot", "euclidean", "manhattan"];

/** Losses take products of vectors, so training knows these only. */
const trained = ["dot", "cosine"];

/** What is wrong with `model.similarity`. A name that is not among the known ones is a plugin's business, when there are plugins. */
export function checkSimilarity({ model, train }: ExperimentConfig): Problem[] {
  const { similarity, plugins } = model;
  if (similarity === undefined) return [];
  const say = (message: string): Problem[] => [{ path: ["model", "similarity"], message }];
  if (!SIMILARITIES.includes(similarity) && plugins.length === 0) {
    return say(unknownName("similarity", similarity, SIMILARITIES));
  }
  if (train !== undefined && !trained.includes(similarity)) {
    return say(`training compares vectors by ${trained.join(" or ")}, not by ${similarity}`);
  }
  return [];
}
