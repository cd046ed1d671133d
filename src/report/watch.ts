/** The dashboard as a reporter: mounts it for a run, and leaves plain lines in the scrollback when the run ends. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { isInForeground } from "../process-stat.js";
import type { Keys } from "./dashboard/keys.js";
import type { Terminal } from "./dashboard/terminal.js";
import type { EventListener } from "./events.js";
import * as format from "./format.js";
import { closingLines, noticeLine, plainReporter } from "./plain.js";
import type { Sink } from "./sink.js";
import { emptyView, reduce, type ViewState } from "./state.js";

/** Variables that change what React and Ink are, read once when they load. */
const loadTime: Readonly<Record<string, string | undefined>> = {
  // React's development build warns, measures and takes several times as long.
  NODE_ENV: "production",
  // Ink draws nothing in CI and looks for developer tools with DEV; whoever asked for a dashboard wants neither.
  CI: undefined,
  CONTINUOUS_INTEGRATION: undefined,
  DEV: undefined,
};

function setVariable(name: string, value: string | undefined): void {
  if (value === undefined) delete process.env[name];
  else process.env[name] = value;
}

async function loadTerminal(): Promise<typeof import("./dashboard/terminal.js")> {
  const before = Object.keys(loadTime).map((name) => [name, process.env[name]] as const);
  for (const [name, value] of Object.entries(loadTime)) setVariable(name, value);
  try {
    return await import("./dashboard/terminal.js");
  } finally {
    for (const [name, value] of before) setVariable(name, value);
  }
}

/** What stays on the terminal after a run: its measures, its warnings and errors, its table and its folder. */
function keptLines(view: ViewState): { readonly stdout: readonly string[]; readonly stderr: readonly string[] } {
  const values = (measures: Readonly<Record<string, number>>) =>
    Object.entries(measures).map(([name, value]) => `${name} ${format.formatMeasure(value)}`);
  const metrics =
    view.summaries.length === 0
      ? view.metrics.map((event) => `${event.label}: ${values(event.values).join(", ")}`)
      : [];
  const warnings = view.notices.filter(({ level }) => level === "warning").map(noticeLine);
  const errors = view.notices.filter(({ level }) => level === "error").map(noticeLine);
  const name = view.run === null ? [] : [`run ${view.run.name}`];
  const left = view.finished === null && view.run !== null ? [`run folder: ${view.run.runDir}`] : [];
  return { stdout: [...name, ...metrics, ...warnings, ...closingLines(view), ...left], stderr: errors };
}

export interface WatchOptions {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly openKeys: () => Keys;
  readonly env: NodeJS.ProcessEnv;
  readonly onInterrupt: () => void;
}

/** A reporter that owns the terminal while a run goes on. */
export interface Watch {
  readonly listener: EventListener;
  /** Loads Ink and draws; what happened before is not lost. */
  start(): Promise<void>;
  /** Takes the dashboard off and leaves the closing lines, once. */
  finish(): void;
}

/** Follows events from now on; the dashboard itself appears with `start`. */
export function watch(options: WatchOptions): Watch {
  let view = emptyView;
  let module: typeof import("./dashboard/terminal.js") | null = null;
  let terminal: Terminal | null = null;
  let keys: Keys | null = null;
  /** Takes over after the run, and for good when Ink fails. */
  let plain: EventListener | null = null;
  let hasFailed = false;
  let isStopping = false;
  const { stdout, env } = options;

  const onInterrupt = () => {
    isStopping = true;
    options.onInterrupt();
  };

  const onStop = (): void => void suspend();
  const onContinue = (): void => void goOn();

  const mount = () => {
    if (module === null || hasFailed) return;
    plain = null;
    process.on("exit", finish);
    process.on("SIGTSTP", onStop);
    process.on("SIGCONT", onContinue);
    keys = options.openKeys();
    const stdin = keys.stream;
    terminal = module.openTerminal({ stdout, stdin, env, isStopping, onInterrupt, onFailure }, view);
  };

  const unmount = (): Promise<void> => {
    process.off("exit", finish);
    process.off("SIGTSTP", onStop);
    process.off("SIGCONT", onContinue);
    terminal?.leave();
    const closed = keys?.close() ?? Promise.resolve();
    [terminal, keys] = [null, null];
    return closed;
  };

  /** Plain lines until the dashboard is back. */
  const stepAside = async () => {
    const closed = unmount();
    plain = plainReporter(stdout, options.stderr, view);
    // Ink takes its hands off the keys in the next turn.
    await nextTurn();
    await closed;
  };

  const comeBack = () => {
    if (terminal === null && view.finished === null && isInForeground()) mount();
  };

  /** Gives the terminal back while it may: a job that the shell puts into the background must not touch it any more. */
  const suspend = async () => {
    await stepAside();
    // With no listener left it does what it always does: this call returns when the job goes on, or at once where there is
    // no shell that could make it go on.
    process.kill(process.pid, "SIGTSTP");
    comeBack();
  };

  /** After a SIGSTOP, of which nobody heard, the terminal is no longer as it was left. */
  const goOn = async () => {
    if (!isInForeground()) return;
    await stepAside();
    comeBack();
  };

  const leaveLines = () => {
    plain = plainReporter(stdout, options.stderr, view);
    const kept = keptLines(view);
    for (const line of kept.stdout) stdout.line(line);
    for (const line of kept.stderr) options.stderr.line(line);
  };

  const finish = () => {
    const wasMounted = terminal !== null;
    void unmount();
    if (wasMounted) leaveLines();
  };

  const onFailure = () => {
    hasFailed = true;
    void unmount();
    plain = plainReporter(stdout, options.stderr, view);
  };

  return {
    listener(event) {
      view = reduce(view, event);
      if (event.type === "runStarted" && terminal === null) mount();
      terminal?.show(view);
      plain?.(event);
      if (event.type === "runFinished") finish();
    },
    async start() {
      module = await loadTerminal();
      if (view.finished === null) mount();
      else leaveLines();
    },
    finish,
  };
}
