/** Addresses for joining, and keys as text. */
import { expect, test } from "vitest";
import { curveKeyPair } from "zeromq";
import { parseAddress, z85 } from "../../../src/pool/gate.js";
import { ticketLine } from "../../../src/pool/ticket.js";

test.each([
  ["tcp://10.0.0.5:4555", { host: "10.0.0.5", port: 4555 }],
  ["tcp://10.0.0.5:0", { host: "10.0.0.5", port: 0 }],
  ["tcp://10.0.0.5:*", { host: "10.0.0.5", port: 0 }],
  ["tcp://*:4555", { host: "*", port: 4555 }],
  ["tcp://[::1]:4555", { host: "[::1]", port: 4555 }],
  ["tcp://node-3.cluster:4555", { host: "node-3.cluster", port: 4555 }],
  ["tcp://10.0.0.5:65536", null],
  ["tcp://10.0.0.5", null],
  ["tcp://:4555", null],
  ["10.0.0.5:4555", null],
  ["ipc:///tmp/s", null],
  ["tcp://a:1:2", null],
  ["tcp://::1:4555", null],
])("%s", (address, expected) => {
  expect(parseAddress(address)).toEqual(expected);
});

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
