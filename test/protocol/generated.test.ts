/** The committed JSON Schema and Python Structs are what messages.ts says. */
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import { EXIT_STATUS } from "../../src/errors.js";
import { errorInfo } from "../../src/protocol/messages.js";

describe("generated files", () => {
  it("are up to date", async () => {
    const run = await execa("node", ["scripts/gen-protocol.mjs", "--check"], { reject: false });
    expect(run.stderr).not.toContain("is not what");
    expect(run.exitCode).toBe(0);
  });

  it("travel the same error kinds as the error family has", () => {
    expect([...errorInfo.shape.code.options].sort()).toEqual(Object.keys(EXIT_STATUS).sort());
  });
});
