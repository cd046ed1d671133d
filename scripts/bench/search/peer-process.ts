/** A peer in a process of its own: a JSON request a line goes in, a JSON answer a line comes out. */
import { createInterface } from "node:readline";
import { execa } from "execa";

/** A peer that answers one request at a time. */
export interface PeerProcess {
  /** Asks and waits; lines of the peer's that are no JSON are passed over. */
  ask(request: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, number>>>;
  /** Ends its input and waits for its end. */
  close(): Promise<void>;
}

/** Starts a peer; what it says on standard error is shown when it fails. */
export function startPeer(
  python: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): PeerProcess {
  const child = execa(python, args, { env: { ...env }, extendEnv: false, buffer: { stdout: false }, reject: false });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    ask: async (request) => {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      for (;;) {
        const line = await lines.next();
        if (line.done === true) {
          const { stderr } = await child;
          throw new Error(`${args.join(" ")} ended before its answer.\n${stderr.slice(-4_000)}`);
        }
        if (line.value.startsWith("{")) return JSON.parse(line.value) as Record<string, number>;
      }
    },
    close: async () => {
      child.stdin.end();
      await child;
    },
  };
}
