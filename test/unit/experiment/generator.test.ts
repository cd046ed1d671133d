/** Every option has the sentence that the generated types, the help and the documentation show. */
import { expect, test } from "vitest";
import { experimentSchema } from "../../../src/experiment/schema.js";
import { allPaths, alternatives, fieldAt } from "../../../src/experiment/shape.js";

test("every option of every group has a sentence that ends like one", () => {
  expect(alternatives(experimentSchema)).toHaveLength(1);
  const without = allPaths().filter((path) => !/^[A-Za-z`].*[.}]$/.test(fieldAt(path.split("."))?.sentence ?? ""));
  expect(without).toEqual([]);
});
