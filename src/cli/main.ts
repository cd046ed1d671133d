#!/usr/bin/env node
/** The `quarry` command: runs the command line and ends the process with its status. */
import { reportFailure } from "./failure.js";
import { runCommandLine } from "./program.js";

const argv = process.argv.slice(2);
// Whatever escapes is told like any other failure: no stack trace reaches a user unless --debug.
process.on("uncaughtException", (thrown) => process.exit(reportFailure(thrown, argv.includes("--debug"))));

process.exitCode = await runCommandLine(argv);
// Everything is closed by now. A handle that a library forgot must not keep the command from ending.
setTimeout(() => process.exit(), 3000).unref();
