/** What is looked at before torchrun is started, and what is said where it would not get far. */
import { expect, test } from "vitest";
import { checkLoopback } from "../../../src/training/loopback.js";

test("a machine on which processes can meet is let through", async () => {
  await checkLoopback();
});

test("a name that nobody knows is told with the line that is missing", async () => {
  await expect(checkLoopback("localhost.invalid")).rejects.toMatchObject({
    code: "ENVIRONMENT",
    message: expect.stringContaining("does not know the name localhost.invalid") as string,
    hint: expect.stringContaining("/etc/hosts") as string,
  });
});

test("an interface that is not there is told with the command that brings it up", async () => {
  await expect(checkLoopback("localhost", "192.0.2.1")).rejects.toMatchObject({
    code: "ENVIRONMENT",
    message: "Ranks cannot reach each other at 192.0.2.1 (EADDRNOTAVAIL).",
    hint: expect.stringContaining("lo up") as string,
  });
});
