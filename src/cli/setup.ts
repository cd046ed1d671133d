/** `quarry setup`: makes the Python environment that workers run in, or completes one that was interrupted. */
import { Command, Option } from "commander";
import { EXIT_STATUS_OF, type StopSignal, watchSignals } from "./signals.js";

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
    .helpOption("-h, --help", "show this help")
    .action(async ({ extra }: { extra: readonly Extra[] }) => setStatus(await setUp(extra)));
}

async function setUp(extras: readonly Extra[]): Promise<number> {
  const { findPython } = await import("../python/environment.js");
  const controller = new AbortController();
  const stoppedBy: { signal: StopSignal | null } = { signal: null };
  const signals = watchSignals((signal) => {
    stoppedBy.signal = signal;
    controller.abort();
  });
  try {
    const onLine = (line: string): void => void process.stdout.write(`${line}\n`);
    const { executable } = await findPython({ extras, install: true, onLine, signal: controller.signal });
    process.stdout.write(`Python is ready: ${executable}\n`);
    return 0;
  } catch (thrown) {
    if (stoppedBy.signal === null) throw thrown;
    process.stderr.write(`stopped by ${stoppedBy.signal}; the same command goes on from here\n`);
    return EXIT_STATUS_OF[stoppedBy.signal];
  } finally {
    signals.close();
  }
}
