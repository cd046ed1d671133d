/** The generated files are what the schema says, and every option has its sentence. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { experimentSchema } from "../../../src/experiment/schema.js";
import { allPaths, alternatives, fieldAt } from "../../../src/experiment/shape.js";

test("options.generated.ts and docs/options.md are up to date", async () => {
  const result = await promisify(execFile)(process.execPath, ["scripts/gen-options.mjs", "--check"]);
  expect(result.stderr).toBe("");
});

test("every option of every group has a sentence that ends like one", () => {
  expect(alternatives(experimentSchema)).toHaveLength(1);
  const without = allPaths().filter((path) => !/^[A-Za-z`].*[.}]$/.test(fieldAt(path.split("."))?.sentence ?? ""));
  expect(without).toEqual([]);
});
