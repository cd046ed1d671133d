/** The first signal asks to stop, the second ends the process at once with the signal's status. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { EXIT_STATUS_OF, type SignalWatch, type StopSignal, watchSignals } from "../../../src/cli/signals.js";

let watch: SignalWatch | null = null;
afterEach(() => {
  watch?.close();
  vi.restoreAllMocks();
});

describe.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("%s", (signal) => {
  test("once asks to stop, twice ends with 128 + its number", () => {
    const heard: StopSignal[] = [];
    const exit = vi.spyOn(process, "exit").mockImplementation((status) => {
      throw new Error(`exit ${status}`);
    });
    watch = watchSignals((found) => heard.push(found));
    process.emit(signal);
    expect(heard).toEqual([signal]);
    expect(exit).not.toHaveBeenCalled();
    expect(() => process.emit(signal)).toThrow(`exit ${EXIT_STATUS_OF[signal]}`);
    expect(heard).toEqual([signal]);
  });
});

test("the statuses are those of the shell", () => {
  expect(EXIT_STATUS_OF).toEqual({ SIGHUP: 129, SIGINT: 130, SIGTERM: 143 });
});

test("a key in the dashboard counts like the signal", () => {
  const heard: StopSignal[] = [];
  watch = watchSignals((found) => heard.push(found));
  watch.raise("SIGINT");
  expect(heard).toEqual(["SIGINT"]);
});

test("a reader of the output that is gone is no signal: neither the second one, nor the first of two", () => {
  const exit = vi.spyOn(process, "exit").mockImplementation((status) => {
    throw new Error(`exit ${status}`);
  });
  const heard: StopSignal[] = [];
  watch = watchSignals((found) => heard.push(found));
  watch.stop("SIGINT");
  process.emit("SIGHUP");
  watch.stop("SIGINT");
  expect(heard).toEqual(["SIGINT"]);
  expect(exit).not.toHaveBeenCalled();
  expect(() => process.emit("SIGHUP")).toThrow("exit 129");
});

test("after closing nothing listens any more", () => {
  const before = process.listenerCount("SIGTERM");
  watch = watchSignals(() => {});
  watch.close();
  expect(process.listenerCount("SIGTERM")).toBe(before);
});

test("a signal in the last moments of a command that is over leaves it its status", () => {
  const exit = vi.spyOn(process, "exit").mockImplementation((status) => {
    throw new Error(`exit ${status}`);
  });
  const heard: StopSignal[] = [];
  const signals = Object.keys(EXIT_STATUS_OF) as StopSignal[];
  const before = new Map(signals.map((signal) => [signal, process.listeners(signal)]));
  watch = watchSignals((found) => heard.push(found));
  watch.settle();
  try {
    expect(() => process.emit("SIGINT")).toThrow("exit undefined");
    expect(exit).toHaveBeenCalledOnce();
    expect(heard).toEqual([]);
  } finally {
    for (const [signal, old] of before) {
      for (const listener of process.listeners(signal)) if (!old.includes(listener)) process.off(signal, listener);
    }
  }
});
