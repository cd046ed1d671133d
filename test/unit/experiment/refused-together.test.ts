/** Options that each are fine alone and cannot stand together: runs from elsewhere, and what a cross-encoder makes of a pair. */
import { expect, test } from "vitest";
import { binary, combined, crossEncoder, source, suite } from "../../../src/experiment/define.js";
import { problems } from "./refusals.js";

const judged = source({ corpus: "corpus.jsonl", qrels: "qrels/test.tsv" });

test.each([
  [
    { evaluate: { data: judged }, rerank: crossEncoder("m", { template: "{query} {query}", trueToken: "yes" }) },
    "rerank.template: has to name {query} once",
  ],
  [
    { evaluate: { data: judged }, rerank: crossEncoder("m", { template: "{query} {passage}", prompt: "Judge" }) },
    "rerank.prompt: has no place of its own in a template; write it into that",
  ],
  [
    { mine: { data: judged, rescore: { model: crossEncoder("m", { falseToken: "no" }) } } },
    "mine.rescore.model.falseToken: is what the answer of mine.rescore.model.trueToken is compared with; name that, too",
  ],
  [
    { evaluate: { data: judged }, rerank: crossEncoder("m", { label: 1, trueToken: "yes" }) },
    "rerank.label: is a classifier's, and rerank.trueToken a language model's; leave one of them out",
  ],
  [
    { evaluate: { data: suite({ one: judged, two: judged }), run: "a.run" } },
    "evaluate.run: ranks the passages of one data set; give each set of the suite its own, { data, run }",
  ],
  [
    { evaluate: { data: suite({ one: { data: judged, run: "a.run" }, two: judged }) } },
    "evaluate.data.sets.0.run: is a run, but the set two has none; give all sets of a suite one, or none",
  ],
  [
    { evaluate: { data: combined({ sources: [judged] }), run: "a.run" } },
    "evaluate.run: ranks the passages of one source, but evaluate.data combines several",
  ],
  [
    { evaluate: { data: judged, run: "a.run", subCorpus: { passages: 9 } } },
    "evaluate.subCorpus: samples what is searched, but evaluate.run ranks already; leave one of them out",
  ],
  [
    {
      train: {
        data: binary({ positives: judged }),
        evaluate: { data: suite({ one: { data: judged, run: "a.run" } }) },
      },
    },
    "train.evaluate.data.sets.0.run: is somebody else's ranking, not the model's in training",
  ],
] as const)("%j", (options, message) => {
  expect(problems(options)).toContain(message);
});
