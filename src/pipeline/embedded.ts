/** The collection that every machine has: search over the running Python's own standard library. */
import { join } from "node:path";
import { QuarryError } from "../errors.js";
import type { SourceConfig } from "../experiment/schema.js";
import { pathsOf } from "../experiment/sources.js";
import type { RunContext } from "./context.js";
import { runtimeAnswer } from "./runtime-command.js";

const PREFIX = "embedded:stdlib/";

/** What resolving a source needs of a run. */
export type ResolveContext = Pick<RunContext, "python" | "cacheDir" | "signal" | "checkStop">;

/**
 * Replaces an embedded corpus by the files that the Python runtime builds for it; other sources pass through.
 *
 * @throws ENVIRONMENT when the collection cannot be built
 */
export async function resolveEmbedded(context: ResolveContext, source: SourceConfig): Promise<SourceConfig> {
  const [corpus = "", ...others] = pathsOf(source.corpus);
  if (!corpus.startsWith(PREFIX)) return source;
  if (others.length > 0) {
    throw new QuarryError("CONFIG", `${corpus} stands in a list of corpus files`, {
      hint: "Put it into a source of its own and join the sources with combined({ sources: […] }).",
    });
  }
  const split = corpus.slice(PREFIX.length);
  if (split !== "train" && split !== "heldout") {
    throw new QuarryError("CONFIG", `there is no embedded collection ${JSON.stringify(corpus)}`, {
      hint: `Use ${PREFIX}train or ${PREFIX}heldout.`,
    });
  }
  const root = join(context.cacheDir, "embedded", "stdlib");
  await runtimeAnswer(context, "demo", ["--out", root], "the embedded collection could not be built");
  const folder = join(root, split);
  return {
    ...source,
    corpus: join(folder, "corpus.jsonl"),
    queries: source.queries ?? join(folder, "queries.jsonl"),
    qrels: source.qrels ?? join(folder, "qrels", split === "train" ? "train.tsv" : "test.tsv"),
  };
}
