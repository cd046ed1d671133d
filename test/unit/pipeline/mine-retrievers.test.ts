/** Who is asked when negatives are mined. */
import { expect, test } from "vitest";
import { mineSchema } from "../../../src/experiment/schema.js";
import { retrieversOf } from "../../../src/pipeline/mine-retrievers.js";

test("a retriever may not be called what the experiment's model is called once it is trained", () => {
  const options = { data: { kind: "source", corpus: "c" }, retrievers: [{ name: "checkpoint-6", run: "a.run" }] };
  const mine = mineSchema.parse(options);
  expect(retrieversOf(mine, "checkpoint-4").map(({ name }) => name)).toEqual(["checkpoint-4", "checkpoint-6"]);
  expect(() => retrieversOf(mine, "checkpoint-6")).toThrow("mine.retrievers.0.name: checkpoint-6 is what");
  expect(retrieversOf({ ...mine, includeModel: false }, "checkpoint-6")).toHaveLength(1);
});
