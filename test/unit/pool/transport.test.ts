/** Whatever moment a message is queued at, it is sent. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Dealer } from "zeromq";
import { openTransport } from "../../../src/pool/transport.js";
import { encodeMessage } from "../../../src/protocol/codec.js";
import type { UpMessage } from "../../../src/protocol/messages.js";
import { PROTOCOL_VERSION } from "../../../src/protocol/version.js";

test("a message queued just as the queue has run empty is sent", async () => {
  let peer = "";
  let greet: () => void = () => {};
  const greeted = new Promise<void>((resolve) => {
    greet = resolve;
  });
  const transport = await openTransport({
    onMessage: (from) => {
      peer = from;
      greet();
    },
    onViolation: (_, error) => {
      throw error;
    },
  });
  const ticket = JSON.parse(readFileSync(transport.ticketPath, "utf8")) as { endpoint: string; token: string };
  const dealer = new Dealer({ linger: 0, receiveTimeout: 5_000 });
  dealer.connect(ticket.endpoint);
  const hello: UpMessage = {
    v: PROTOCOL_VERSION,
    type: "hello",
    role: "worker",
    name: "worker-0",
    token: ticket.token,
    life: "1",
    pid: 1,
    host: "here",
    device: "cpu",
    deviceName: "cpu",
    memoryBytes: 1,
    threads: 1,
    dtypes: [],
    versions: {},
    rank: 0,
    worldSize: 1,
  };
  await dealer.send(encodeMessage(hello) as Buffer[]);
  await greeted;
  try {
    for (let round = 0; round < 300; round++) {
      transport.send(peer, { v: PROTOCOL_VERSION, type: "flush" });
      // Every number of turns between two messages, so that each gap of the pump is met.
      for (let turn = 0; turn < round % 12; turn++) await Promise.resolve();
      transport.send(peer, { v: PROTOCOL_VERSION, type: "flush" });
      await dealer.receive();
      for (let turn = 0; turn < round % 7; turn++) await Promise.resolve();
      transport.send(peer, { v: PROTOCOL_VERSION, type: "flush" });
      await dealer.receive();
      await dealer.receive();
    }
    expect(dealer.closed).toBe(false);
  } finally {
    dealer.close();
    await transport.close();
  }
});
