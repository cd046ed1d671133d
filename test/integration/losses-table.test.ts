/** The table of losses that scripts are checked against says what the Python runtime registers. */
import { expect, test } from "vitest";
import { LOSSES } from "../../src/experiment/losses.js";
import { listRegistered } from "../../src/python/introspect.js";

test("every registered loss stands in the table with its options, each of them an optional number", async () => {
  const { losses } = await listRegistered();
  const registered = losses.map(({ name, options }) => [name, options.map((option) => option.name)]);
  expect(Object.fromEntries(registered)).toEqual(LOSSES);
  for (const option of losses.flatMap(({ options }) => options)) {
    expect(option).toMatchObject({ type: "float", isRequired: false });
  }
});
