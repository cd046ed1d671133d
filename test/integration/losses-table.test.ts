/** The table of losses that scripts are checked against says what the Python runtime registers. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

test("every registered loss stands in the table and in the types with what each of its options takes", async () => {
  const result = await promisify(execFile)(process.execPath, ["scripts/gen-losses.mjs", "--check"]);
  expect(result.stderr).toBe("");
});
