/** Whatever moment a message is queued at, it is sent; who breaks the protocol is told of once. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Dealer } from "zeromq";
import { openTransport } from "../../../src/pool/transport.js";
import { decodeDown, encodeMessage } from "../../../src/protocol/codec.js";
import type { Unversioned, UpMessage } from "../../../src/protocol/messages.js";
import { until } from "../../fixtures/fake-pool.js";

const helloWith = (token: string): Unversioned<UpMessage> => ({
  type: "hello",
  role: "worker",
  name: "worker-0",
  token,
  life: "1",
  pid: 1,
  host: "here",
  device: "cpu",
  deviceName: "cpu",
  rank: 0,
  worldSize: 1,
});

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
  const dealer = new Dealer({ linger: 0, receiveTimeout: 60_000 });
  dealer.connect(ticket.endpoint);
  await dealer.send(encodeMessage(helloWith(ticket.token)) as Buffer[]);
  await greeted;
  try {
    for (let round = 0; round < 300; round++) {
      transport.send(peer, { type: "flush" });
      // Every number of turns between two messages, so that each gap of the pump is met.
      for (let turn = 0; turn < round % 12; turn++) await Promise.resolve();
      transport.send(peer, { type: "flush" });
      await dealer.receive();
      for (let turn = 0; turn < round % 7; turn++) await Promise.resolve();
      transport.send(peer, { type: "flush" });
      await dealer.receive();
      await dealer.receive();
    }
    expect(dealer.closed).toBe(false);
  } finally {
    dealer.close();
    await transport.close();
  }
});

test("what a worker had still sent when it broke the protocol is no stranger's", async () => {
  const heard: string[] = [];
  const violations: string[] = [];
  const transport = await openTransport({
    onMessage: (_, { type }) => heard.push(type),
    onViolation: (_, { message }) => violations.push(message),
  });
  const ticket = JSON.parse(readFileSync(transport.ticketPath, "utf8")) as { endpoint: string; token: string };
  const dealer = new Dealer({ linger: 0 });
  dealer.connect(ticket.endpoint);
  const hello = encodeMessage(helloWith(ticket.token)) as Buffer[];
  const bye = encodeMessage({ type: "bye", reason: "drained" }) as Buffer[];
  const garbage = [Buffer.from("garbage"), Buffer.alloc(4)];
  try {
    for (const parts of [hello, garbage, bye, garbage, hello]) await dealer.send(parts);
    await until(() => heard.length === 2);
    expect(heard).toEqual(["hello", "hello"]);
    expect(violations).toHaveLength(1);
  } finally {
    dealer.close();
    await transport.close();
  }
});

test("what cannot be answered costs its sender the connection, and nobody else anything", async () => {
  const heard: string[] = [];
  const violations: string[] = [];
  const transport = await openTransport({
    onMessage: (_, message) => {
      if (message.type === "bye") throw new Error("no answer to that");
      heard.push(message.type);
    },
    onViolation: (_, { message }) => violations.push(message),
  });
  const ticket = JSON.parse(readFileSync(transport.ticketPath, "utf8")) as { endpoint: string; token: string };
  const dealers = [0, 1].map(() => new Dealer({ linger: 0, receiveTimeout: 60_000 }));
  const [asks, other] = dealers as [Dealer, Dealer];
  try {
    for (const dealer of dealers) {
      dealer.connect(ticket.endpoint);
      await dealer.send(encodeMessage(helloWith(ticket.token)) as Buffer[]);
    }
    await asks.send(encodeMessage({ type: "bye", reason: "drained" }) as Buffer[]);
    expect(decodeDown(await asks.receive()).message).toMatchObject({
      type: "refuse",
      error: { code: "INTERNAL", message: "no answer to that" },
    });
    await other.send(encodeMessage({ type: "leave", reason: "SIGTERM" }) as Buffer[]);
    await until(() => heard.includes("leave"));
    expect(violations).toEqual(["no answer to that"]);
  } finally {
    for (const dealer of dealers) dealer.close();
    await transport.close();
  }
});
