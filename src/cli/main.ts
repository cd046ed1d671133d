#!/usr/bin/env node
/** The `quarry` command: runs the command line and ends the process with its status. */
import { reportFailure } from "./failure.js";

const argv = process.argv.slice(2);
// Whatever escapes is told like any other failure: no stack trace reaches a user unless --debug.
process.on("uncaughtException", (thrown: NodeJS.ErrnoException) => {
  // The reader of a pipe is gone (`quarry --help | head -3`): nobody is left to tell; 141 is what a shell calls SIGPIPE.
  if (thrown.code === "EPIPE") process.exit(141);
  process.exit(reportFailure(thrown, argv.includes("--debug")));
});

// A limit on the size of files (ulimit -f) is met as a failed write, as in Python, and not as an end without a word.
process.on("SIGXFSZ", () => {});

// Loaded by now, where a failure can be told: of its hundreds of files Node opens many at once (ulimit -n 40).
const { runCommandLine } = await import("./program.js");
process.exitCode = await runCommandLine(argv);
// Everything is closed by now. A handle that a library forgot must not keep the command from ending.
setTimeout(() => process.exit(), 3000).unref();
