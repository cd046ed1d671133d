/** `quarry setup`: makes the Python environment that workers run in, or completes one that was interrupted. */
import { Command, Option } from "commander";
import { withStop } from "./stoppable.js";

type Extra = "demo" | "faiss" | "test";

/** Makes the command; `setStatus` takes the exit status. */
export function setupCommand(setStatus: (status: number) => void): Command {
  return new Command("setup")
    .description("Make or complete the Python environment.")
    .addOption(
      new Option("--extra <name...>", "demo: the embedded model; faiss: approximate indexes; test: what the tests use")
        .choices(["demo", "faiss", "test"])
        .default(["demo"]),
    )
    .option("--debug", "show the trace of an error")
    .action(async ({ extra, debug }: { extra: readonly Extra[]; debug?: boolean }) => {
      const work = (signal: AbortSignal): Promise<number> => setUp(extra, signal);
      setStatus(await withStop(debug ?? false, work, "; the same command goes on from here"));
    });
}

async function setUp(extras: readonly Extra[], signal: AbortSignal): Promise<number> {
  const { findPython } = await import("../python/environment.js");
  const onLine = (line: string): void => void process.stdout.write(`${line}\n`);
  const { executable } = await findPython({ extras, install: true, onLine, signal });
  process.stdout.write(`Python is ready: ${executable}\n`);
  return 0;
}
