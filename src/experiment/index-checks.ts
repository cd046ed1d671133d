/** Checks of how vectors are written and searched: what a FAISS index takes, what is left without the store. */
import type { IndexConfig } from "./index-schema.js";
import type { ExperimentConfig } from "./schema.js";

const KIND_OF = { nlist: "ivf", nprobe: "ivf", m: "hnsw", ef: "hnsw" } as const;

/** What FAISS compares by; a checkpoint that says otherwise is refused when it is loaded. */
const COMPARED = ["dot", "cosine"];

/** Says what does not fit together about `encode` and `search.index`. */
export function checkIndexes(
  { model, encode, search, embeddings }: Pick<ExperimentConfig, "model" | "encode" | "search" | "embeddings">,
  say: (path: string, message: string) => void,
): void {
  if (encode !== undefined && !embeddings.store) {
    const only =
      "but without the store vectors are written as a float32 NumPy matrix only; leave embeddings.store on, or";
    if (encode.export !== "npy") say("encode.export", `is ${encode.export}, ${only} encode.export at npy`);
    if (embeddings.dtype !== "float32") say("embeddings.dtype", `is ${embeddings.dtype}, ${only} it at float32`);
  }
  const { similarity } = model;
  const isCompared = similarity === undefined || COMPARED.includes(similarity);
  const other = `a FAISS index compares by ${COMPARED.join(" or ")}, and model.similarity is ${similarity}`;
  if (encode?.export === "faiss" && !isCompared) say("encode.export", `${other}; export npy or parquet`);
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
  if (!isCompared) say("search.index", `${other}; leave search.index at "exact"`);
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
