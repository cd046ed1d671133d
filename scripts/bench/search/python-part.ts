/** Runs a part that is a Python script: its JSON lines become figures and numbers. */
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import type { Context, Figure } from "../shared/context.js";
import { findScriptPython } from "../shared/python.js";

const HERE = dirname(fileURLToPath(import.meta.url));

/**
 * Runs a script of this folder to its end; the script says what is at work on standard error.
 *
 * @throws Error when the script fails, or ends before its last line.
 */
export async function runPythonPart(context: Context, script: string, args: readonly string[] = []): Promise<void> {
  const shared = ["--json", "--device", context.device, "--threads", String(context.threads)];
  const child = execa(
    context.python.executable,
    [join(HERE, script), ...shared, ...(context.quick ? ["--quick"] : []), ...args],
    {
      env: { ...context.python.env, OMP_NUM_THREADS: String(context.threads), TROVE_HEAP: await troveHeap(context) },
      extendEnv: false,
      stdin: "ignore",
      stderr: "inherit",
      buffer: false,
    },
  );
  let isWhole = false;
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith("{")) continue;
    const { event, ...values } = JSON.parse(line) as { event: string } & Record<string, unknown>;
    if (event === "figure") context.add(values as unknown as Figure);
    else if (event === "numbers") context.numbers(values);
    else if (event === "end") isWhole = true;
  }
  await child;
  if (!isWhole) throw new Error(`${script} ended before its last line.`);
}

/** Writes the page and the drawing about indexes from the record on file. */
export async function writeCrossoverPage(record: string, out: string): Promise<void> {
  const { executable, env } = await findScriptPython();
  const args = [join(HERE, "crossover_page.py"), "--record", record, "--out", out];
  await execa(executable, args, { env: { ...env }, extendEnv: false, stderr: "inherit" });
}

/** The file of Trove's fast heap in the peers' environment: both environments have the same torch. Empty without Trove. */
async function troveHeap(context: Context): Promise<string> {
  const { stdout } = await execa(context.peersPython(), [
    "-c",
    "import importlib.util; print(getattr(importlib.util.find_spec('trove'), 'origin', ''))",
  ]);
  if (stdout.trim() === "") return "";
  return join(dirname(stdout.trim()), "containers", "result_heapq_fast.py");
}
