/** Keys and tickets as text, and what is said of an address that means every network. */
import { expect, test } from "vitest";
import { curveKeyPair } from "zeromq";
import { openGate, z85 } from "../../../src/pool/gate.js";
import { ticketLine } from "../../../src/pool/ticket.js";

test("keys are written as ZeroMQ writes them (RFC 32's own example)", () => {
  expect(z85(Uint8Array.of(0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b))).toBe("HelloWorld");
  expect(curveKeyPair().publicKey).toHaveLength(z85(new Uint8Array(32)).length);
});

test("a ticket's line is one word that holds all of it", () => {
  const content = { endpoint: "tcp://10.0.0.5:4555", token: "t", serverKey: "#&%" };
  const line = ticketLine(content);
  expect(line).toMatch(/^quarry1\.[A-Za-z0-9_-]+$/);
  expect(JSON.parse(Buffer.from(line.slice("quarry1.".length), "base64url").toString())).toEqual(content);
});

test("a gate on every network says so, also in an unusual way to write that", async () => {
  for (const [address, isWildcard] of [
    ["tcp://0.0.0.0:0", true],
    ["tcp://[::0]:0", true],
    ["tcp://127.0.0.1:0", false],
  ] as const) {
    const gate = await openGate(address, () => {});
    gate.socket.close();
    await gate.close();
    expect(gate.isWildcard, address).toBe(isWildcard);
  }
});
