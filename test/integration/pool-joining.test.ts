/** Workers that come by themselves over TCP: they join, leave, are drained, die and come back; no unit is lost or counted twice. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type FakeGuest, startGuest } from "../fixtures/fake-guest.js";
import {
  collectVectors,
  type FakePool,
  fakeUnits,
  type Misbehaviour,
  openFakePool,
  until,
} from "../fixtures/fake-pool.js";

let fake: FakePool | null = null;
const guests: FakeGuest[] = [];
afterEach(async () => {
  const { close, pids } = fake ?? { close: async () => {}, pids: () => [] };
  await close();
  fake = null;
  for (const guest of guests.splice(0)) {
    guest.kill("SIGKILL");
    await guest.ended;
  }
  expect(pids()).toEqual([]);
});

const LISTEN = "tcp://127.0.0.1:0";
async function open(misbehaviour: Misbehaviour, workers: Parameters<typeof openFakePool>[1] = {}): Promise<FakePool> {
  fake = await openFakePool(misbehaviour, { listen: LISTEN, ...workers });
  return fake;
}
async function come(name: string, misbehaviour: Misbehaviour = {}): Promise<FakeGuest> {
  const guest = await startGuest(join(fake?.runDir ?? "", "join.ticket"), name, misbehaviour);
  guests.push(guest);
  return guest;
}
const notes = (): string[] =>
  (fake?.events ?? []).flatMap((event) => (event.type === "notice" ? [`${event.message} ${event.hint ?? ""}`] : []));

describe("a pool that listens", () => {
  it("waits for workers when it has none of its own, and says how to join", async () => {
    const { pool, runDir } = await open({}, { count: 0 });
    const ticket = join(runDir, "join.ticket");
    expect(statSync(ticket).mode & 0o777).toBe(0o600);
    const { job, vectors, expected } = collectVectors(fakeUnits(30));
    const working = pool.encode(job);
    await until(() => notes().some((text) => text.includes("waits until one joins")));
    expect(notes().join("\n")).toContain(`quarry join --ticket ${ticket}`);
    // What opens the door stands in the private file only.
    const [, coded = ""] = readFileSync(ticket, "utf8").trim().split(".");
    const content = JSON.parse(Buffer.from(coded, "base64url").toString()) as Record<string, string>;
    expect(Object.keys(content)).toEqual(["endpoint", "token", "serverKey", "clientPublicKey", "clientSecretKey"]);
    for (const secret of [coded, content.token, content.clientSecretKey]) {
      expect(JSON.stringify(fake?.events)).not.toContain(secret);
    }
    await come("far.0");
    await come("far.0");
    const outcome = await working;
    expect(outcome).toMatchObject({ failed: [], rowCount: 120 });
    for (const [index, values] of vectors) expect(values).toEqual(expected(index));
    await until(() => notes().some((text) => text.includes("far.0-2 joined")));
    await fake?.close();
    expect(existsSync(ticket)).toBe(false);
    for (const guest of guests) expect((await guest.ended).exitCode).toBe(0);
  });
});
