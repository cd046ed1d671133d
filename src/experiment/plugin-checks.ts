/** Names that only a plugin can bring: refused where there is none, before Python starts. */
import { nearest } from "../nearest.js";
import type { Problem } from "./explain.js";
import { modelsIn } from "./mine-checks.js";
import type { ExperimentConfig, ModelConfig } from "./schema.js";

/** Encoders and poolings that come with Quarry, named as in Python. A test compares them with the runtime's registry. */
export const ENCODERS: readonly string[] = ["auto"];
export const POOLINGS: readonly string[] = ["mean", "cls", "last", "weightedmean", "max", "mean_sqrt_len"];

/** What is wrong with the names of encoder, pooling and retriever; with plugins unknown ones are Python's business. */
export function checkPluginNames(config: ExperimentConfig): Problem[] {
  const { model, train } = config;
  const retriever = model.plugins.length > 0 ? undefined : train?.retriever;
  return [
    ...modelsIn(config).flatMap(([path, each]) => (each.kind === "biEncoder" ? checkModel(each, path.split(".")) : [])),
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
  return known.includes(name) ? [] : [{ path, message: unknownName(what, name, known) }];
}

/**
 * Why a name is refused that Quarry does not know, and no plugin is there to bring.
 *
 * @param meant what it may have been meant to be
 */
export function unknownName(what: string, name: string, known: readonly string[], meant = known): string {
  const near = nearest(name, meant);
  const all = known.length === 0 ? "some" : `${known.join(", ")}, and others`;
  const others = `there ${known.length === 1 ? "is" : "are"} ${all} once a Python file of model.plugins registers them`;
  return `no ${what} is called ${JSON.stringify(name)}; ${near === null ? others : `did you mean ${near}?`}`;
}
