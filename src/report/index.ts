/** Attaches one of the three reporters to a run's events: the dashboard, plain lines, or JSON lines. */
import { isInForeground } from "../process-stat.js";
import { type KeyStream, keysOf, openKeys } from "./dashboard/keys.js";
import type { EventListener, EventStream } from "./events.js";
import { jsonReporter } from "./json.js";
import { plainReporter } from "./plain.js";
import { type OutputStream, Sink } from "./sink.js";
import { watch } from "./watch.js";

/** How a run is shown; `auto` is the dashboard on a terminal, else plain lines. */
export type ReporterKind = "auto" | "dashboard" | "plain" | "json";

export interface ReporterOptions {
  readonly kind: ReporterKind;
  readonly stdout?: OutputStream;
  readonly stderr?: OutputStream;
  /** Where the dashboard reads keys from; default: the terminal. */
  readonly stdin?: KeyStream;
  readonly env?: NodeJS.ProcessEnv;
  /** Called for each q or Ctrl-C; default: SIGINT to this process. */
  readonly onInterrupt?: () => void;
  /** Called once when nobody reads stdout any more; default: as onInterrupt. */
  readonly onReaderGone?: () => void;
}

/** A reporter at work. */
export interface Reporter {
  /** Restores the terminal, writes what is left. Call it on every way out; a second call does nothing. */
  close(): Promise<void>;
}

/** What `auto` means here: the dashboard needs a terminal that understands cursor codes and somebody who watches. */
export function chooseKind(
  kind: ReporterKind,
  stdout: OutputStream,
  env: NodeJS.ProcessEnv,
  hasForeground = isInForeground(),
): ReporterKind {
  if (kind !== "auto") return kind;
  const isCi = !["", "0", "false"].includes(env["CI"] ?? "");
  return stdout.isTTY === true && hasForeground && !isCi && env["TERM"] !== "dumb" ? "dashboard" : "plain";
}

/**
 * Shows a run's events until it is closed. It hears everything from the moment of the call, and never throws because of
 * a reader that left: it goes quiet and calls `onReaderGone`.
 *
 * @example
 * const reporter = await attachReporter(events, { kind: "auto", onInterrupt: () => controller.abort() });
 * try { await run(experiment, { events, signal: controller.signal }); } finally { await reporter.close(); }
 */
export async function attachReporter(events: EventStream, options: ReporterOptions): Promise<Reporter> {
  const { env = process.env, stdin } = options;
  const onInterrupt = options.onInterrupt ?? (() => process.kill(process.pid, "SIGINT"));
  const onReaderGone = options.onReaderGone ?? onInterrupt;
  const stderr = new Sink(options.stderr ?? process.stderr, () => {});
  const stdout = new Sink(options.stdout ?? process.stdout, (isReaderGone, error) => {
    if (isReaderGone) onReaderGone();
    else stderr.line(`warning: stdout cannot be written (${error.message}); the run goes on`);
  });

  const kind = chooseKind(options.kind, stdout.stream, env);
  let finish = () => {};
  let listener: EventListener;
  let start = async () => {};
  const keys = stdin === undefined ? openKeys : () => keysOf(stdin);
  if (kind === "dashboard") ({ listener, start, finish } = watch({ stdout, stderr, openKeys: keys, env, onInterrupt }));
  else listener = kind === "json" ? jsonReporter(stdout) : plainReporter(stdout, stderr);

  // Before the first await: nothing that happens while Ink loads may be lost.
  const unsubscribe = events.subscribe(listener);
  await start();

  let isClosed = false;
  return {
    async close() {
      if (isClosed) return;
      isClosed = true;
      unsubscribe();
      finish();
      await stdout.close();
      await stderr.close();
    },
  };
}
