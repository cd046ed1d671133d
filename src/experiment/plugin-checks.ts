/** Names that only a plugin can bring: refused where there is none, before Python starts. */
import type { Problem } from "./explain.js";
import { nearest } from "./nearest.js";
import type { ExperimentConfig } from "./schema.js";

/** Encoders and poolings that come with Quarry, named as in Python. A test compares them with the runtime's registry. */
export const ENCODERS: readonly string[] = ["auto"];
export const POOLINGS: readonly string[] = ["mean", "cls", "last"];

/** What is wrong with the names of encoder, pooling and retriever; with plugins unknown ones are Python's business. */
export function checkPluginNames({ model, train }: ExperimentConfig): Problem[] {
  if (model.plugins.length > 0) return [];
  return [
    ...unknown(["model", "encoder"], "encoder", model.encoder, ENCODERS),
    ...unknown(["model", "pooling"], "pooling", model.pooling ?? "mean", POOLINGS),
    ...unknown(["train", "retriever", "name"], "retriever", train?.retriever?.name ?? null, []),
  ];
}

function unknown(path: string[], what: string, name: string | null, known: readonly string[]): Problem[] {
  if (name === null || known.includes(name)) return [];
  const near = nearest(name, known);
  const plugin = "once a Python file of model.plugins registers them";
  const others = known.length === 0 ? `there are some ${plugin}` : `there is ${known.join(", ")}, and others ${plugin}`;
  const wayOut = near === null ? others : `did you mean ${near}?`;
  return [{ path, message: `no ${what} is called ${JSON.stringify(name)}; ${wayOut}` }];
}
