/** Puts the dashboard on a terminal and takes it off again: frames at most five times a second, keys, resize, restore. */
import { render, useInput } from "ink";
import { eventClock } from "../events.js";
import type { Sink } from "../sink.js";
import type { ViewState } from "../state.js";
import { Dashboard, type DashboardProps } from "./dashboard.js";
import type { KeyStream } from "./keys.js";
import { Screen } from "./screen.js";
import { chooseTheme } from "./theme.js";

/** A fifth of a second between frames: measured, see the README. */
const frameMs = 200;
/** Without events a frame a second keeps the clock and the time left going. */
const clockMs = 1000;

/** q, and Ctrl-C as it arrives in raw mode. */
const stopKeys = ["q", "\u0003"];

export interface TerminalOptions {
  readonly stdout: Sink;
  readonly stdin: KeyStream;
  readonly env: NodeJS.ProcessEnv;
  /** Whether the user has asked to stop already. */
  readonly isStopping: boolean;
  /** Called for each q and Ctrl-C. */
  readonly onInterrupt: () => void;
  /** Ink gave up: nothing more will be drawn. */
  readonly onFailure: () => void;
}

/** A dashboard on the terminal. */
export interface Terminal {
  /** Takes over a new view; it is drawn with the next frame. */
  show(view: ViewState): void;
  /** Erases the frame, gives the terminal back as it was. Synchronous, so that it works while the process exits. */
  leave(): void;
}

function Keys({ isActive, onStop }: { readonly isActive: boolean; readonly onStop: () => void }) {
  useInput(
    (input, key) => {
      if (key.ctrl && input === "c") onStop();
      // In raw mode the terminal does not do this itself: all processes of the job, as its shell expects.
      else if (key.ctrl && input === "z") process.kill(0, "SIGTSTP");
      // Two quick presses may arrive as one; a pasted text that merely holds a q is no request.
      else if ([...input].every((character) => character === input[0] && stopKeys.includes(character))) {
        for (const _ of input) onStop();
      }
    },
    { isActive },
  );
  return null;
}

/** Draws the first frame at once. */
export function openTerminal(options: TerminalOptions, firstView: ViewState): Terminal {
  const { stdout, stdin } = options;
  const screen = new Screen(stdout);
  const theme = chooseTheme(options.env);
  let view = firstView;
  let isStopping = options.isStopping;
  let isLeft = false;
  let lastFrameAt = 0;
  let pending: NodeJS.Timeout | null = null;
  let isResized = false;

  const stop = () => {
    isStopping = true;
    schedule();
    options.onInterrupt();
  };

  const frame = () => {
    const hasKeys = stdin.isTTY === true;
    const props: DashboardProps = { view, ...screen.size, now: eventClock(), theme, isStopping, hasKeys };
    return (
      <>
        <Dashboard {...props} />
        <Keys isActive={hasKeys} onStop={stop} />
      </>
    );
  };

  const ink = render(frame(), {
    // Ink needs of its stream what Screen offers: writing, width, height and the resize event.
    stdout: screen as unknown as NodeJS.WriteStream,
    stdin,
    exitOnCtrlC: false,
    // console.log of an experiment script appears above the frame instead of through it.
    patchConsole: true,
    // Frames are counted out here; Ink's own throttle only has to stay out of the way.
    maxFps: 1000,
  });

  const draw = () => {
    pending = null;
    lastFrameAt = eventClock();
    screen.columns = screen.size.columns;
    ink.rerender(frame());
    if (isResized) screen.redraw();
    isResized = false;
  };

  const schedule = () => {
    if (pending !== null || isLeft) return;
    pending = setTimeout(draw, Math.max(0, lastFrameAt + frameMs - eventClock()));
    pending.unref();
  };

  const onResize = () => {
    isResized = true;
    schedule();
  };

  const clock = setInterval(schedule, clockMs);
  clock.unref();
  stdout.stream.on("resize", onResize);

  const leave = () => {
    if (isLeft) return;
    isLeft = true;
    if (pending !== null) clearTimeout(pending);
    clearInterval(clock);
    stdout.stream.off("resize", onResize);
    ink.clear();
    screen.release();
    ink.unmount();
    // Ink gives raw mode back in an effect, which an exit in the middle of a frame may skip.
    if (stdin.isTTY && stdin.isRaw) stdin.setRawMode(false);
  };

  ink.waitUntilExit().catch(() => {
    if (!isLeft) options.onFailure();
  });

  return {
    show(next) {
      view = next;
      schedule();
    },
    leave,
  };
}
