/** Which plugins' code a finished step depends on: not that of a model which is not asked. */
import { expect, test } from "vitest";
import { biEncoder, crossEncoder, defineExperiment, source } from "../../../src/experiment/define.js";
import type { RunContext } from "../../../src/pipeline/context.js";
import { localPlugins } from "../../../src/pipeline/local-models.js";

test("a run from elsewhere, and mining without the model, do not depend on the model's plugin", () => {
  const data = source({ corpus: "corpus.jsonl", qrels: "test.tsv" });
  const experiment = defineExperiment({
    name: "idle",
    model: biEncoder("m", { plugins: ["own.py"] }),
    evaluate: { data, run: "bm25.run" },
    rerank: crossEncoder("c"),
    mine: { data, includeModel: false, retrievers: [{ run: "bm25.run" }] },
  });
  const context = { config: experiment.config, experiment, pluginSources: { sha256: () => "hash" } };
  const pluginsOf = (step: string) => Object.keys(localPlugins(context as unknown as RunContext, step));
  for (const step of ["evaluate-run", "evaluate-run/scifact", "rerank-run", "mine-base"])
    expect(pluginsOf(step), step).toEqual([]);
  for (const step of ["evaluate-base", "evaluate-base/scifact", "encode-base"])
    expect(pluginsOf(step), step).toEqual(["own.py"]);
});
