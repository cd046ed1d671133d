/** Names that only a plugin can bring: refused where there is none, before Python starts. */
import { nearest } from "../nearest.js";
import type { Problem } from "./explain.js";
import type { ExperimentConfig, ModelConfig } from "./schema.js";

/** Encoders and poolings that come with Quarry, named as in Python. A test compares them with the runtime's registry. */
export const ENCODERS: readonly string[] = ["auto"];
export const POOLINGS: readonly string[] = ["mean", "cls", "last", "weightedmean", "max", "mean_sqrt_len"];

/** What is wrong with the names of encoder, pooling and retriever; with plugins unknown ones are Python's business. */
export function checkPluginNames({ model, train, mine }: ExperimentConfig): Problem[] {
  const others = mine?.retrievers.flatMap((each, index) =>
    each.model === undefined ? [] : checkModel(each.model, ["mine", "retrievers", String(index), "model"]),
  );
  const retriever = model.plugins.length > 0 ? undefined : train?.retriever;
  return [
    ...checkModel(model, ["model"]),
    ...(others ?? []),
    ...(retriever === undefined ? [] : unknown(["train", "retriever", "name"], "retriever", retriever.name, [])),
  ];
}

function checkModel({ plugins, encoder, pooling = "mean" }: ModelConfig, path: readonly string[]): Problem[] {
  if (plugins.length > 0) return [];
  return [
    ...unknown([...path, "encoder"], "encoder", encoder, ENCODERS),
    ...unknown([...path, "pooling"], "pooling", pooling, POOLINGS),
  ];
}

function unknown(path: string[], what: string, name: string, known: readonly string[]): Problem[] {
  if (known.includes(name)) return [];
  const near = nearest(name, known);
  const plugin = "once a Python file of model.plugins registers them";
  const others = known.length === 0 ? `there are some ${plugin}` : `there is ${known.join(", ")}, and others ${plugin}`;
  const wayOut = near === null ? others : `did you mean ${near}?`;
  return [{ path, message: `no ${what} is called ${JSON.stringify(name)}; ${wayOut}` }];
}
