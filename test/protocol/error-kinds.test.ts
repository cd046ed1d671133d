/** The kinds of errors that the protocol carries; that what is generated of it is up to date is a check of its own. */
import { expect, it } from "vitest";
import { EXIT_STATUS } from "../../src/errors.js";
import { errorInfo } from "../../src/protocol/messages.js";

it("the same error kinds travel as the error family has", () => {
  expect([...errorInfo.shape.code.options].sort()).toEqual(Object.keys(EXIT_STATUS).sort());
});
