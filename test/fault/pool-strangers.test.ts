/** Who has no business here: wrong keys, no keys, another token, garbage on the socket for joining. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, describe, expect, it } from "vitest";
import { curveKeyPair } from "zeromq";
import { type FakeGuest, startGuest } from "../fixtures/fake-guest.js";
import { collectVectors, type FakePool, fakeUnits, openFakePool, until } from "../fixtures/fake-pool.js";

let fake: FakePool | null = null;
const guests: FakeGuest[] = [];
afterEach(async () => {
  await fake?.close();
  fake = null;
  for (const guest of guests.splice(0)) {
    guest.kill("SIGKILL");
    await guest.ended;
  }
});

async function open(): Promise<FakePool> {
  fake = await openFakePool({ secondsPerUnit: 0.02 }, { count: 1, listen: "tcp://127.0.0.1:0" });
  return fake;
}
const joined = (): number =>
  (fake?.events ?? []).filter((event) => event.type === "notice" && event.message.includes("joined")).length;

describe("a stranger", () => {
  it.each([
    ["another server key", { serverKey: curveKeyPair().publicKey }, {}],
    ["a client key that nobody handed out", keysOf(curveKeyPair()), {}],
    ["no CURVE at all", {}, { plain: true }],
    ["another token", { token: "0".repeat(64) }, {}],
  ])("with %s is refused, told once, and the job goes on", async (_, changes, misbehaviour) => {
    const { pool, runDir, warnings } = await open();
    const [, coded = ""] = readFileSync(join(runDir, "join.ticket"), "utf8").trim().split(".");
    const content = JSON.parse(Buffer.from(coded, "base64url").toString()) as object;
    const forged = join(runDir, "forged.ticket");
    writeFileSync(forged, JSON.stringify({ ...content, ...changes }), { mode: 0o600 });
    const { job } = collectVectors(fakeUnits(60));
    const working = pool.encode(job);
    // Of two that do not speak one language, one or the other finds out first; the one that does not sees a lost connection.
    for (let at = 0; at < 2 || (warnings().length === 0 && at < 12); at += 1) {
      guests.push(await startGuest(forged, `evil.${at}`, misbehaviour));
      if (at > 0) await until(() => warnings().length > 0, 3_000).catch(() => {});
    }
    await until(() => warnings().length > 0);
    expect(await working).toMatchObject({ failed: [], rowCount: 240 });
    expect(warnings()).toHaveLength(1);
    expect(warnings()[0]).toContain("A stranger was turned away.");
    expect(joined()).toBe(0);
    for (const guest of guests) expect(guest.said()).not.toContain("welcome");
  });

  it("that sends garbage from many connections does no harm", async () => {
    const { pool, runDir, warnings, events } = await open();
    guests.push(await startGuest(join(runDir, "join.ticket"), "far.0", { secondsPerUnit: 0.02 }));
    await until(() => joined() === 1);
    const port = Number(/tcp:\/\/127\.0\.0\.1:(\d+)/.exec(JSON.stringify(events))?.[1]);
    const { job, times } = collectVectors(fakeUnits(200));
    const working = pool.encode(job);
    const before = nativeBytes();
    // From a process of its own, whose sockets do not count as memory of this one.
    await execa("node", ["-e", GARBAGE, String(port), String(CONNECTIONS)]);
    expect((nativeBytes() - before) / 2 ** 20).toBeLessThan(50);
    expect(await working).toMatchObject({ failed: [], rowCount: 800 });
    expect([...times.values()].every((count) => count === 1)).toBe(true);
    expect(warnings().filter((text) => !text.startsWith("A stranger was turned away."))).toEqual([]);
    expect(warnings()).toHaveLength(1);
    await fake?.close();
    expect(JSON.stringify(events)).toMatch(/strangers were turned away \d+ times/);
  });
});

/** What sockets take: when V8 gives its heap back is its own affair. */
function nativeBytes(): number {
  const { rss, heapTotal } = process.memoryUsage();
  return rss - heapTotal;
}

/** By hand: as many as a port scanner opens. */
const CONNECTIONS = Number(process.env["QUARRY_GARBAGE_CONNECTIONS"] ?? 1_000);

function keysOf({ publicKey, secretKey }: { readonly publicKey: string; readonly secretKey: string }) {
  return { clientPublicKey: publicKey, clientSecretKey: secretKey };
}

/** Opens connections by fifties, each with 200 bytes of its own, and hangs up. */
const GARBAGE = `
const [port, count] = process.argv.slice(1).map(Number);
const one = (seed) => new Promise((resolve) => {
  const socket = require("node:net").connect(port, "127.0.0.1", () => socket.end(Buffer.alloc(200, seed), resolve));
  socket.on("error", resolve);
});
(async () => {
  for (let done = 0; done < count; done += 50) await Promise.all(Array.from({ length: 50 }, (_, at) => one(done + at)));
})();
`;
