/** Asks to stop: the first signal lets the work in hand be saved, the second ends the process at once. */
import { readFileSync, readlinkSync } from "node:fs";

/** Exit status of a command that a signal stopped: 128 + the signal's number. */
export const EXIT_STATUS_OF = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** Signals that mean "stop". */
export type StopSignal = keyof typeof EXIT_STATUS_OF;

/** Signals being watched. */
export interface SignalWatch {
  /** As if the signal had come: the dashboard reads Ctrl-C as a key. */
  raise(signal: StopSignal): void;
  /**
   * Asks for a stop without being a signal: whoever reads the output is gone. Ctrl-C ends the reader in the same pipe
   * and a closed terminal hangs up, so a signal beside it, before or after, is not the second one.
   */
  stop(signal: StopSignal): void;
  close(): void;
  /** Closes it for a command that is over: a signal that comes in its last moments leaves it the status that it has, until Node takes itself down. */
  settle(): void;
}

/**
 * Watches for signals from now on.
 *
 * @param onFirst called once, with the first signal
 */
export function watchSignals(onFirst: (signal: StopSignal) => void): SignalWatch {
  let isStopping = false;
  let isSignalled = false;
  const stop = (signal: StopSignal): void => {
    if (isStopping) return;
    isStopping = true;
    onFirst(signal);
  };
  const raise = (signal: StopSignal): void => {
    if (isSignalled) stopNow(signal);
    isSignalled = true;
    stop(signal);
  };
  const isKept = isUnderNohup();
  const handlers = (Object.keys(EXIT_STATUS_OF) as StopSignal[]).map(
    (signal) => [signal, signal === "SIGHUP" && isKept ? () => {} : () => raise(signal)] as const,
  );
  for (const [signal, handler] of handlers) process.on(signal, handler);
  const close = (): void => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
  return {
    raise,
    stop,
    close,
    settle: () => {
      for (const [signal] of handlers) process.on(signal, () => process.exit());
      close();
    },
  };
}

/**
 * Whether `nohup` began this command. Node listens to SIGHUP again, which nohup had ignored; what is left of it is the
 * terminal's stand-in as standard input: /dev/null, open for writing alone (GNU's nohup, on Linux).
 */
function isUnderNohup(): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync("/proc/self/fdinfo/0", "utf8"))?.[1] ?? "0";
    return readlinkSync("/proc/self/fd/0") === "/dev/null" && (Number.parseInt(flags, 8) & 3) === 1;
  } catch {
    return false;
  }
}

/** Ends this process without waiting; workers end with it, because they watch it in three ways (guard/parent.py). */
function stopNow(signal: StopSignal): never {
  // Node puts the terminal's settings back; Ink, which shows the cursor again, may be what hangs.
  if (process.stdout.isTTY) process.stdout.write("\u001b[?25h");
  process.exit(EXIT_STATUS_OF[signal]);
}
