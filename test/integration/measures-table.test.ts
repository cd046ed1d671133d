/** The table of measures that scripts are checked against says what the Python runtime computes. */
import { execa } from "execa";
import { expect, test } from "vitest";
import { MEASURES } from "../../src/experiment/measures.js";
import { findPython } from "../../src/python/environment.js";

test("both languages know the same measures, with the same options and cut-offs", async () => {
  const python = await findPython();
  const { stdout } = await execa(python.executable, ["-m", "quarry_runtime", "measure", "--table"], {
    env: { ...python.env },
    extendEnv: false,
  });
  const table = Object.fromEntries(MEASURES.map(({ name, ...rest }) => [name, rest]));
  expect(JSON.parse(stdout)).toEqual(table);
});
