/** Checks of the options of FAISS indexes: an option of one kind says nothing of another. */
import type { IndexConfig } from "./index-schema.js";
import type { ExperimentConfig } from "./schema.js";

const KIND_OF = { nlist: "ivf", nprobe: "ivf", m: "hnsw", ef: "hnsw" } as const;

/** Says what does not fit together about `encode.index` and `search.index`. */
export function checkIndexes(
  { encode, search, embeddings }: Pick<ExperimentConfig, "encode" | "search" | "embeddings">,
  say: (path: string, message: string) => void,
): void {
  if (encode?.index !== undefined) {
    if (encode.export !== "faiss")
      say(
        "encode.index",
        `is what export "faiss" writes, but encode.export is ${encode.export}; change that, or leave the index out`,
      );
    checkKind(encode.index, "encode.index", say);
  }
  const index = search?.index ?? "exact";
  if (index === "exact") return;
  if ("kind" in index) checkKind(index, "search.index", say);
  if (!embeddings.store) {
    say("search.index", 'needs stored vectors; leave embeddings.store on, or search.index at "exact"');
  }
}

function checkKind(index: IndexConfig, path: string, say: (path: string, message: string) => void): void {
  for (const [name, kind] of Object.entries(KIND_OF)) {
    const isGiven = index[name as keyof typeof KIND_OF] !== undefined;
    if (isGiven && index.kind !== kind) {
      say(
        `${path}.${name}`,
        `is an option of ${kind}, but ${path}.kind is ${index.kind}; take it out, or change the kind`,
      );
    }
  }
  if (index.nlist !== undefined && index.nprobe !== undefined && index.nprobe > index.nlist) {
    say(
      `${path}.nprobe`,
      `looks into ${index.nprobe} of ${index.nlist} lists (nlist); set it to ${index.nlist} or less`,
    );
  }
}
