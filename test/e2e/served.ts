/** The command line in a process that stays: it starts once for all commands, and so does what their workers are forked from. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const SCRIPT = fileURLToPath(new URL("served-process.mjs", import.meta.url));

/** How the command line ended. */
export interface Finished {
  readonly exitCode?: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command, where it is called and what of the environment is its own. */
export interface Command {
  readonly argv: readonly string[];
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
}

/** The process; it ends with the one that started it. */
let server: { readonly child: ChildProcess; readonly died: Promise<null> } | undefined;
let last: Promise<unknown> = Promise.resolve();

export const serverPid = (): number | undefined => server?.child.pid;

/** Runs a command after those before it; all but the start and the end of a process is as a user has it. */
export function serve(command: Command): Promise<Finished> {
  const finished = last.then(() => run(command));
  last = finished.catch(() => {});
  return finished;
}

async function run({ argv, folder, env }: Command): Promise<Finished> {
  const { child, died } = (server ??= start());
  const outputs = Promise.all([textOf(child.stdout), textOf(child.stderr)]);
  const answered = once(child, "message") as Promise<[{ readonly exitCode: number }]>;
  child.send({ argv, folder, env: { ...process.env, ...env } });
  const answer = await Promise.race([answered, died]);
  const [stdout, stderr] = await outputs;
  if (answer === null) {
    server = undefined;
    throw new Error(`quarry ${argv.join(" ")} took its process along: ${stderr}`);
  }
  return { exitCode: answer[0].exitCode, stdout, stderr };
}

function start(): NonNullable<typeof server> {
  const child = fork(SCRIPT, { stdio: ["ignore", "pipe", "pipe", "ipc"] });
  return { child, died: once(child, "exit").then(() => null) };
}

/** What is written up to a NUL, or until the end; without the last line's end, as execa gives it. */
async function textOf(stream: NodeJS.ReadableStream | null): Promise<string> {
  let text = "";
  await new Promise<void>((resolve) => {
    const onData = (chunk: string): void => {
      text += chunk;
      if (text.includes("\0")) finish();
    };
    const finish = (): void => {
      stream?.off("data", onData).off("close", finish);
      resolve();
    };
    stream?.setEncoding("utf8").on("data", onData).on("close", finish);
  });
  return text.replace(/\n?(\0[^]*)?$/, "");
}
