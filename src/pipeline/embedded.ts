/** The collection that every machine has: search over the running Python's own standard library. */
import { join } from "node:path";
import { QuarryError } from "../errors.js";
import type { SourceConfig } from "../experiment/schema.js";
import { pathsOf } from "../experiment/sources.js";
import type { RunContext } from "./context.js";

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
  const python = await context.python();
  const root = join(context.cacheDir, "embedded", "stdlib");
  // Loaded late: most data needs no process.
  const { execa } = await import("execa");
  await execa(python.executable, ["-m", "quarry_runtime", "demo", "--out", root], {
    env: { ...python.env },
    extendEnv: false,
    cancelSignal: context.signal,
  }).catch((cause: unknown) => {
    context.checkStop();
    throw new QuarryError("ENVIRONMENT", "the embedded collection could not be built", {
      cause,
      hint: `Look at what Python said: ${cause instanceof Error ? cause.message.split("\n").slice(-2).join(" ") : String(cause)}`,
    });
  });
  const folder = join(root, split);
  return {
    ...source,
    corpus: join(folder, "corpus.jsonl"),
    queries: source.queries ?? join(folder, "queries.jsonl"),
    qrels: source.qrels ?? join(folder, "qrels", split === "train" ? "train.tsv" : "test.tsv"),
  };
}
