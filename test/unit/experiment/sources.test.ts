/** Options of a source that would do nothing are refused, wherever the source stands. */
import { expect, test } from "vitest";
import { biEncoder, binary, combined, demoSource, parseExperiment, source } from "../../../src/experiment/define.js";
import { step } from "../../../src/experiment/function-step.js";
import { problems } from "./refusals.js";

const base = { name: "x", model: biEncoder("some/model") };
const texts = { corpus: "corpus.jsonl", queries: "queries.jsonl" };
const judged = source({ ...texts, qrels: "qrels/test.tsv", minScore: 1 });

test("what chooses among judgements is refused in a source without any, by its name", () => {
  const pool = source({ corpus: "more.jsonl", groupTopK: 3, filter: step({ name: "all", fn: () => true }) });
  const found = problems({
    ...base,
    evaluate: { data: combined({ sources: [judged, pool] }) },
    encode: { data: source({ ...texts, scoreTransform: 1 }) },
    train: {
      data: binary({ positives: judged, negatives: judged, negativesPerQuery: 1 }),
      refresh: { everySteps: 10, mine: { queries: "all", data: source({ ...texts, maxScore: 2 }) } },
    },
  });
  const ends = "nothing without judgements; name these with qrels, or leave";
  expect(found).toContain(`evaluate.data.sources.1: filter, groupTopK do ${ends} them out`);
  expect(found).toContain(`encode.data: scoreTransform does ${ends} it out`);
  expect(found).toContain(`train.refresh.mine.data: maxScore does ${ends} it out`);
});

test("judgements that come with a collection are judgements, and a subset chooses among queries, too", () => {
  const data = { ...demoSource("heldout"), minScore: 1 };
  const search = { data: source({ ...texts, querySubset: "some.txt" }) };
  expect(() => parseExperiment({ ...base, evaluate: { data }, search })).not.toThrow();
});
