/** Patience with workers: silence and standstill are noticed, the orchestrator's own pauses are not held against them. */
import { describe, expect, it } from "vitest";
import { Vigil } from "../../../src/pool/vigil.js";

const limits = { heartbeatTimeoutMs: 1_000, unitTimeoutMs: 5_000, startTimeoutMs: 10_000, intervalMs: 100 };

/** Ticks from `from` to `to` every 100 ms; what was complained about, with the time. */
function watch(vigil: Vigil, from: number, to: number, each: (now: number) => void = () => {}) {
  const complaints: [number, string][] = [];
  for (let now = from; now <= to; now += 100) {
    each(now);
    for (const { worker, reason } of vigil.tick(now)) complaints.push([now, `${worker} ${reason}`]);
  }
  return complaints;
}

describe("the vigil", () => {
  it("tells once of a worker that fell silent", () => {
    const vigil = new Vigil(limits);
    vigil.begin("w0");
    vigil.expect("w0", "working");
    expect(watch(vigil, 0, 10_000)).toEqual([[1_100, "w0 was silent for 1.1 s"]]);
  });

  it("hears nothing of a silent worker in being told once more, for another's sake, what it does", () => {
    const vigil = new Vigil(limits);
    vigil.begin("w0");
    const told = () => vigil.expect("w0", "working");
    expect(watch(vigil, 0, 10_000, told)).toEqual([[1_100, "w0 was silent for 1.1 s"]]);
  });

  it("tells of one whose heart beats while nothing comes of its work", () => {
    const vigil = new Vigil(limits);
    vigil.begin("w0");
    vigil.expect("w0", "working");
    const beats = (now: number) => vigil.heard("w0", now < 2_000 ? now : 2_000);
    expect(watch(vigil, 0, 20_000, beats)).toEqual([[7_000, "w0 made no progress for 5.1 s"]]);
  });

  it("has no complaint about one that beats and has nothing to do", () => {
    const vigil = new Vigil(limits);
    vigil.begin("w0");
    vigil.expect("w0", "idle");
    expect(watch(vigil, 0, 60_000, () => vigil.heard("w0", 3))).toEqual([]);
  });

  it("gives a start and a model more time", () => {
    const vigil = new Vigil(limits);
    vigil.begin("w0");
    expect(watch(vigil, 0, 9_900)).toEqual([]);
    vigil.expect("w0", "loading");
    expect(watch(vigil, 10_000, 13_800)).toEqual([]);
    expect(watch(vigil, 13_900, 20_000)).toHaveLength(1);
  });

  it("counts a pause of its own process as two intervals at most", () => {
    const vigil = new Vigil(limits);
    vigil.begin("w0");
    vigil.expect("w0", "working");
    expect(watch(vigil, 0, 500)).toEqual([]);
    // A minute without a turn of the event loop; the beats of that minute are still unread.
    expect(vigil.tick(60_500)).toEqual([]);
    vigil.heard("w0", 600);
    expect(watch(vigil, 60_600, 61_400)).toEqual([]);
  });

  it("waits for a large answer as long as it takes over a slow link, and no longer than for others without one", () => {
    const vigil = new Vigil(limits);
    vigil.begin("w0");
    const answering = () => vigil.expect("w0", "working", 3_000_000);
    answering();
    expect(watch(vigil, 0, 10_000, answering)).toEqual([[4_100, "w0 was silent for 4.1 s"]]);
    vigil.begin("w1");
    vigil.expect("w1", "working", 3_000_000);
    const idle = () => vigil.expect("w1", "idle");
    expect(watch(vigil, 10_100, 20_000, idle)).toEqual([[11_100, "w1 was silent for 1.1 s"]]);
  });

  it("says nothing of a worker that is gone", () => {
    const vigil = new Vigil(limits);
    vigil.begin("w0");
    vigil.drop("w0");
    expect(watch(vigil, 0, 30_000)).toEqual([]);
  });
});
