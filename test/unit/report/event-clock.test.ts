/** Somebody sets the machine's clock while a run goes on: what has passed since is still told as what has passed. */
import { Console } from "node:console";
import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { afterEach, expect, test, vi } from "vitest";
import { openTerminal } from "../../../src/report/dashboard/terminal.js";
import { EventStream, eventClock, type QuarryEvent } from "../../../src/report/events.js";
import { Sink } from "../../../src/report/sink.js";
import { emptyView } from "../../../src/report/state.js";

const HOUR_MS = 3_600_000;

// Ink makes a console of its own by it, which the test runner's console lacks.
console.Console = Console;
afterEach(() => vi.restoreAllMocks());

function setClock(byMs: number): void {
  const real = Date.now();
  vi.spyOn(Date, "now").mockReturnValue(real + byMs);
}

test.each([HOUR_MS, -HOUR_MS])("events keep their distances when the clock is set by %d ms", (byMs) => {
  const events = new EventStream();
  const heard: QuarryEvent[] = [];
  events.subscribe((event) => heard.push(event));
  const tell = () => events.emit({ type: "notice", message: "here", hint: null });
  tell();
  setClock(byMs);
  tell();
  const [one, other] = heard.map(({ time }) => time) as [number, number];
  expect(other - one).toBeGreaterThanOrEqual(0);
  expect(other - one).toBeLessThan(60_000);
});

test("the clock of events is the time of day", () => {
  expect(Math.abs(eventClock() - Date.now())).toBeLessThan(60_000);
});

test("the dashboard goes on drawing when the clock is set back", async () => {
  // Ink itself writes nothing under CI, so what counts is that each frame asks how wide the terminal is.
  let frames = 0;
  const stream = Object.assign(new EventEmitter(), { isTTY: true, rows: 24, write: () => true });
  Object.defineProperty(stream, "columns", { get: () => ++frames && 80 });
  const stdin = new PassThrough() as unknown as NodeJS.ReadStream;
  const terminal = openTerminal(
    { stdout: new Sink(stream, () => {}), stdin, env: {}, isStopping: false, onInterrupt() {}, onFailure() {} },
    emptyView,
  );
  const isDrawn = async (): Promise<void> => {
    const before = frames;
    terminal.show(emptyView);
    await vi.waitFor(() => expect(frames).toBeGreaterThan(before), { timeout: 60_000 });
  };
  try {
    await isDrawn();
    setClock(-HOUR_MS);
    await isDrawn();
  } finally {
    terminal.leave();
  }
});
