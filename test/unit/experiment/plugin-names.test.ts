/** Names that only a plugin can bring are refused before Python starts, as long as no plugin is named. */
import { expect, test } from "vitest";
import { biEncoder, binary, multiLevel, parseExperiment, source } from "../../../src/experiment/define.js";

const data = source({ corpus: "c.jsonl", qrels: "q.tsv" });
const model = biEncoder("m");
const train = { data: multiLevel({ sources: [data] }) };
const experiment = (more: object): object => ({ name: "x", model, ...more });

test.each([
  [{ model: { ...model, encoder: "autp" } }, 'model.encoder: no encoder is called "autp"; did you mean auto?'],
  [
    { model: { ...model, pooling: "largest" } },
    'model.pooling: no pooling is called "largest"; there are mean, cls, last, weightedmean, max, mean_sqrt_len, and others once a Python file of model.plugins registers them',
  ],
  [
    { train: { ...train, retriever: { name: "whole", margin: 1 } } },
    'train.retriever.name: no retriever is called "whole"; there are some once a Python file of model.plugins registers them',
  ],
  [
    { mine: { data, retrievers: [{ model: { ...model, encoder: "mine" } }] } },
    'mine.retrievers.0.model.encoder: no encoder is called "mine"; there is auto, and others once a Python file of model.plugins registers them',
  ],
  [
    {
      train: {
        data: binary({ positives: data, negativesPerQuery: 1 }),
        refresh: { everySteps: 10, mine: { retrievers: [{ model: { ...model, pooling: "largest" } }] } },
      },
    },
    'train.refresh.mine.retrievers.0.model.pooling: no pooling is called "largest"; there are mean,',
  ],
])("%j", (more, message) => {
  expect(() => parseExperiment(experiment(more))).toThrow(message);
});

test("with a plugin they are Python's business, and further fields are a retriever's options", () => {
  const mine = { ...model, plugins: ["my.py"], encoder: "mine", pooling: "largest" };
  const config = parseExperiment(
    experiment({ model: mine, train: { ...train, retriever: { name: "whole", margin: 1 } } }),
  );
  expect(config.model).toMatchObject({ encoder: "mine", pooling: "largest" });
  expect(config.train?.retriever).toEqual({ name: "whole", margin: 1 });
});

test("the name of a source can only travel where there is one", () => {
  const encode = (extras: object, name?: string): object => ({
    encode: { data: { ...data, extras, ...(name === undefined ? {} : { name }) } },
  });
  expect(() => parseExperiment(experiment(encode({ sourceName: true })))).toThrow(
    "encode.data.extras.sourceName: needs a name; set encode.data.name",
  );
  expect(() => parseExperiment(experiment(encode({ sourceName: true, query: ["source"] }, "set")))).toThrow(
    "encode.data.extras.query: names a field source",
  );
  expect(() => parseExperiment(experiment(encode({ qery: ["a"] })))).toThrow("did you mean query?");
});
