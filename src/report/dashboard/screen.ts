/**
 * The stream that Ink draws on. It stands between Ink and the terminal because Ink, left alone, wipes the scrollback when
 * a frame is as high as the terminal, leaves half frames behind when the terminal gets narrower, and writes after its end.
 */
import { EventEmitter } from "node:events";
import type { Sink } from "../sink.js";

const home = "\u001b[H";
const eraseLineAndGoDown = "\u001b[2K\u001b[B";
const resetStyle = "\u001b[0m";
const showCursor = "\u001b[?25h";

/** Small enough for any terminal, used when it does not tell its size. */
const defaultSize = { columns: 80, rows: 24 };

export class Screen extends EventEmitter {
  readonly isTTY = true;
  readonly writable = true;
  /** Ink compares a frame's height with this; the layout keeps frames low, so Ink need never know the real height. */
  readonly rows = 1_000_000;
  columns: number;
  #isMuted = false;

  constructor(private readonly sink: Sink) {
    super();
    this.columns = this.size.columns;
  }

  /** What the terminal says now. */
  get size(): { readonly columns: number; readonly rows: number } {
    const { columns, rows } = this.sink.stream;
    return { columns: columns || defaultSize.columns, rows: rows || defaultSize.rows };
  }

  write(text: string, ...rest: readonly unknown[]): boolean {
    if (!this.#isMuted) this.sink.write(text);
    const done = rest.at(-1);
    if (typeof done === "function") queueMicrotask(() => done());
    return true;
  }

  /**
   * Clears the visible screen and has Ink draw its whole frame again at the terminal's present width: after a resize the
   * terminal has wrapped the old frame anew, so nobody knows which lines it covers.
   */
  redraw(): void {
    // Ink forgets its last frame only when the width shrinks, so it is told of a wider terminal first.
    this.#isMuted = true;
    this.columns = this.size.columns + 1;
    this.emit("resize");
    this.#isMuted = false;
    // Line by line: erasing the whole screen at once makes tmux and others keep the broken frame in the scrollback.
    this.write(home + eraseLineAndGoDown.repeat(this.size.rows) + home);
    this.columns = this.size.columns;
    this.emit("resize");
  }

  /** Nothing that Ink writes from now on reaches the terminal; the cursor shows again. */
  release(): void {
    this.write(resetStyle + showCursor);
    this.#isMuted = true;
  }
}
