/** A misspelt option does not compile: each line below must be an error, or type-checking the tests fails. */
import { expect, test } from "vitest";
import { biEncoder, binary, defineExperiment, source } from "../../../src/experiment/define.js";

const model = biEncoder("m");
const data = source({ corpus: "c.jsonl", qrels: "q.tsv" });

test("a misspelt option is a compile error, and at run time an error that names the right one", () => {
  // @ts-expect-error: minScor
  const first = source({ corpus: "c.jsonl", minScor: 1 });
  // @ts-expect-error: poling
  const second = biEncoder("m", { poling: "mean" });
  // @ts-expect-error: "men" is no pooling
  const third = biEncoder("m", { pooling: "men" });
  // @ts-expect-error: negativesPerQery
  const fourth = binary({ positives: data, negativesPerQery: 2 });
  // @ts-expect-error: a prompt for texts that are not there
  const fifth = biEncoder("m", { prompts: { quary: "query: " } });
  expect([first, second, third, fourth, fifth]).toHaveLength(5);

  const learn = { data: binary({ positives: data }) };
  // @ts-expect-error: evalute
  expect(() => defineExperiment({ name: "x", model, evalute: { data } })).toThrow(
    "evalute: unknown option; did you mean evaluate?",
  );
  // @ts-expect-error: learningrte
  expect(() => defineExperiment({ name: "x", model, train: { ...learn, args: { learningrte: 1 } } })).toThrow(
    "train.args.learningrte: unknown option; did you mean learningRate?",
  );
});

test("names people bring along compile where the builders take them", () => {
  const all = [
    biEncoder("m", { pooling: "lasttoken" }),
    biEncoder("m", { pooling: "cls_token" }),
    biEncoder("m", { prompts: { query: "q: ", document: "d: " } }),
    biEncoder("m", { prompts: { corpus: "d: " } }),
  ];
  expect(all.map(({ checkpoint }) => checkpoint)).toEqual(["m", "m", "m", "m"]);
});
