/** Options of `quarry join` that cannot be are told before any process starts. */
import { expect, test } from "vitest";
import { type JoinOptions, joinRun } from "../../../src/index.js";

test.each<[Omit<JoinOptions, "ticket">, string]>([
  [{ workers: "0" }, "--workers: expected auto or a whole number from 1 to 9999, saw 0"],
  [{ threads: "two" }, "--threads: expected auto or a whole number from 1 to 9999, saw two"],
  [{ device: "gpu" }, "--device: expected auto, cpu or cuda, saw gpu"],
  [{ name: "my host" }, "--name: expected letters, digits, dots, _ and - only, and no - in front, saw my host"],
  [{ name: "-x" }, "--name: expected letters, digits, dots, _ and - only, and no - in front, saw -x"],
])("%j is refused", async (options, message) => {
  await expect(joinRun({ ticket: "join.ticket", ...options })).rejects.toMatchObject({ code: "CONFIG", message });
});
