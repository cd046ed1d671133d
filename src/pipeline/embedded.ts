/** The collection that every machine has: search over the running Python's own standard library. */
import { join } from "node:path";
import { execa } from "execa";
import { QuarryError } from "../errors.js";
import type { SourceConfig } from "../experiment/schema.js";
import type { RunContext } from "./context.js";

const PREFIX = "embedded:stdlib/";

/**
 * Replaces an embedded corpus by the files that the Python runtime builds for it; other sources pass through.
 *
 * @throws ENVIRONMENT when the collection cannot be built
 */
export async function resolveEmbedded(context: RunContext, source: SourceConfig): Promise<SourceConfig> {
  if (!source.corpus.startsWith(PREFIX)) return source;
  const split = source.corpus.slice(PREFIX.length);
  if (split !== "train" && split !== "heldout") {
    throw new QuarryError("CONFIG", `there is no embedded collection ${JSON.stringify(source.corpus)}`, {
      hint: `Use ${PREFIX}train or ${PREFIX}heldout.`,
    });
  }
  const python = await context.python();
  const root = join(context.cacheDir, "embedded", "stdlib");
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
