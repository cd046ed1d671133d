/** A unit that no message could take is refused where it is made, with the option that makes it smaller. */
import { expect, test } from "vitest";
import { asMessage } from "../../../src/data/units.js";

test("a unit is as long as a message may be, and no longer", () => {
  const frame = new Uint8Array(2_000);
  expect(asMessage(frame, "3 texts", 2_000)).toBe(frame);
  expect(() => asMessage(frame, "3 texts", 1_999)).toThrow(
    "a unit of 3 texts has 2,000 bytes, and a message to a worker 1,999 at most",
  );
  expect(() => asMessage(frame, "3 texts", 1_999)).toThrow(
    expect.objectContaining({ code: "CONFIG", hint: expect.stringContaining("--workers.unitSize") }),
  );
});
