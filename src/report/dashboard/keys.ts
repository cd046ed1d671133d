/** What the dashboard reads keys from: a handle of its own on the terminal, which is closed while the terminal may be touched. */
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { isatty, ReadStream } from "node:tty";

/** A terminal, or whatever else stdin is. */
export type KeyStream = NodeJS.ReadStream;

/** Keys for as long as the dashboard is on the screen. */
export interface Keys {
  readonly stream: KeyStream;
  /** Lets go of the terminal; its settings are those from before once this resolves. */
  close(): Promise<void>;
}

/**
 * Opens the terminal once more. From Node 22 on, a stream that was raw sets the terminal again when it is closed, and
 * process.stdin is closed with the process: one that works in the background by then is stopped for it, at its very end.
 */
export function openKeys(): Keys {
  const opened = isatty(0) ? open("/dev/tty") : null;
  if (opened === null) return keysOf(process.stdin);
  const { number, stream } = opened;
  const close = async (): Promise<void> => {
    if (stream.destroyed) return;
    stream.destroy();
    await once(stream, "close");
    // The stream has opened the terminal a second time for itself.
    closeSync(number);
  };
  return { stream: stream as KeyStream, close };
}

/** Keys from a stream that is somebody else's: it only stops reading. */
export function keysOf(stream: KeyStream): Keys {
  return { stream, close: async () => void (stream.isTTY && stream.pause()) };
}

function open(path: string): { readonly number: number; readonly stream: ReadStream } | null {
  try {
    const number = openSync(path, "r");
    return { number, stream: new ReadStream(number) };
  } catch {
    return null; // no terminal that this process is at home on
  }
}
