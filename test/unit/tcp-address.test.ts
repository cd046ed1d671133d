/** Addresses that sockets listen on: what is one, and which mean every network. */
import { expect, test } from "vitest";
import { isWildcard, parseAddress } from "../../src/tcp-address.js";

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

test("every network is known however it is written", () => {
  for (const host of ["*", "0.0.0.0", "0", "[::]", "[::0]", "[0:0:0:0:0:0:0:0]", "[::0.0.0.0]", "[::ffff:0.0.0.0]"])
    expect(isWildcard(host), host).toBe(true);
  for (const host of ["10.0.0.5", "127.0.0.1", "[::1]", "[fe80::1]", "node-3.cluster", "[1::2::3]", ""])
    expect(isWildcard(host), host).toBe(false);
});
