/** What a search shows of the passages it found. */
import { expect, test } from "vitest";
import { excerpt } from "../../../src/pipeline/search.js";

test("a passage is shown on one line, backslashes as they are, and cut where it is long", () => {
  expect(excerpt("", "amber\n\t \\section  basalt")).toBe("amber \\section basalt");
  expect(excerpt("Stones", "x".repeat(200))).toMatch(/^Stones · x{90}…$/);
});
