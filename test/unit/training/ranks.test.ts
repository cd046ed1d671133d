/** Greeting ranks over restarts, without processes. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { UpMessage } from "../../../src/protocol/messages.js";
import { PROTOCOL_VERSION } from "../../../src/protocol/version.js";
import { greet, noGeneration, rankOf } from "../../../src/training/ranks.js";

type Hello = Extract<UpMessage, { type: "hello" }>;

const hello = (rank: number, generation: number, worldSize: number, pid = rank * 100 + generation): Hello => ({
  ...{
    v: PROTOCOL_VERSION,
    type: "hello",
    role: "rank",
    name: `rank-${rank}.${generation}`,
    token: "t",
    life: "l",
    pid,
    host: "h",
  },
  ...{ device: "cpu", deviceName: "cpu", rank, worldSize },
});

test("a generation is complete when every rank has said hello", () => {
  const first = greet(noGeneration, "a", hello(0, 0, 2), [2]);
  expect(first).toMatchObject({ kind: "accepted", isNew: true, isComplete: false });
  if (first.kind !== "accepted") throw new Error("refused");
  const second = greet(first.generation, "b", hello(1, 0, 2), [2]);
  expect(second).toMatchObject({ kind: "accepted", isNew: false, isComplete: true });
});

test("a restart begins a generation without the old ranks, and who is late from the old one is refused", () => {
  const old = greet(noGeneration, "a", hello(0, 0, 2), [2]);
  if (old.kind !== "accepted") throw new Error("refused");
  const fresh = greet(old.generation, "c", hello(1, 1, 2), [2]);
  if (fresh.kind !== "accepted") throw new Error("refused");
  expect(fresh).toMatchObject({ isNew: true, isComplete: false });
  expect(rankOf(fresh.generation, "a")).toBeNull();
  expect(rankOf(fresh.generation, "c")?.rank).toBe(1);
  expect(greet(fresh.generation, "d", hello(0, 0, 2), [2])).toMatchObject({ kind: "refused" });
});

test("workers, foreign worlds and a second process of one rank are refused", () => {
  expect(greet(noGeneration, "a", { ...hello(0, 0, 2), role: "worker" }, [2]).kind).toBe("refused");
  expect(greet(noGeneration, "a", { ...hello(0, 0, 2), name: "worker-0" }, [2]).kind).toBe("refused");
  expect(greet(noGeneration, "a", hello(0, 0, 3), [2]).kind).toBe("refused");
  const first = greet(noGeneration, "a", hello(0, 0, 2), [2]);
  if (first.kind !== "accepted") throw new Error("refused");
  expect(greet(first.generation, "b", hello(0, 0, 2, 99), [2])).toMatchObject({
    kind: "refused",
    reason: "Rank 0 is already here as process 0.",
  });
});

test("a start may have fewer ranks than the one before, but no two sizes at once", () => {
  const whole = greet(noGeneration, "a", hello(0, 7, 4), [2, 4]);
  if (whole.kind !== "accepted") throw new Error("refused");
  expect(greet(whole.generation, "b", hello(1, 7, 2), [2, 4])).toMatchObject({ kind: "refused" });
  const rest = greet(whole.generation, "c", hello(0, 3, 2), [2, 4]);
  expect(rest).toMatchObject({ isNew: true, generation: { number: 1, worldSize: 2 } });
});

test("in any order of hellos a complete generation holds one peer of each rank, all of the start that was met last", () => {
  const hellos = fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 3 })), { maxLength: 40 });
  fc.assert(
    fc.property(hellos, (order) => {
      let present = noGeneration;
      const met: number[] = [];
      for (const [rank, start] of order) {
        const greeting = greet(present, `${rank}.${start}`, hello(rank, start, 3), [3]);
        if (!met.includes(start)) met.push(start);
        else if (start !== met.at(-1)) expect(greeting.kind).toBe("refused");
        if (greeting.kind === "refused") continue;
        present = greeting.generation;
        expect(present.number).toBe(met.length - 1);
        expect(greeting.isComplete).toBe(present.ranks.size === 3);
        for (const [number, { peer }] of present.ranks) expect(peer).toBe(`${number}.${met.at(-1)}`);
      }
    }),
  );
});
