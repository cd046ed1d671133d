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

/** Runs commands one after another; all but the start and the end of a process is as a user has it. */
export class ServedCommandLine {
  readonly #folder: string;
  readonly #env: Readonly<Record<string, string>>;
  #child: ChildProcess | undefined;
  #ended: Promise<unknown> | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** @param env beside the environment of the moment */
  constructor(folder: string, env: Readonly<Record<string, string>>) {
    this.#folder = folder;
    this.#env = env;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  run(argv: readonly string[]): Promise<Finished> {
    const finished = this.#last.then(() => this.#run(argv));
    this.#last = finished.catch(() => {});
    return finished;
  }

  async close(): Promise<void> {
    if (this.#child?.connected) this.#child.disconnect();
    await this.#ended;
  }

  async #run(argv: readonly string[]): Promise<Finished> {
    const child = (this.#child ??= this.#start());
    const outputs = Promise.all([textOf(child.stdout), textOf(child.stderr)]);
    const answered = once(child, "message") as Promise<[{ readonly exitCode: number }]>;
    child.send({ argv, folder: this.#folder, env: { ...process.env, ...this.#env } });
    const answer = await Promise.race([answered, this.#ended?.then(() => null)]);
    const [stdout, stderr] = await outputs;
    if (!answer) throw new Error(`quarry ${argv.join(" ")} took its process along: ${stderr}`);
    return { exitCode: answer[0].exitCode, stdout, stderr };
  }

  #start(): ChildProcess {
    const child = fork(SCRIPT, { stdio: ["ignore", "pipe", "pipe", "ipc"] });
    this.#ended = once(child, "exit");
    return child;
  }
}

/** What is written up to a NUL, or until the end; without the last line's end, as execa gives it. */
async function textOf(stream: NodeJS.ReadableStream | null): Promise<string> {
  let text = "";
  await new Promise<void>((resolve) => {
    const onData = (chunk: string): void => {
      text += chunk;
      if (text.endsWith("\0")) finish();
    };
    const finish = (): void => {
      stream?.off("data", onData).off("close", finish);
      resolve();
    };
    stream?.setEncoding("utf8").on("data", onData).on("close", finish);
  });
  return text.replace(/\n?\0?$/, "");
}
