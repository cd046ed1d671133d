/** sentence-transformers in a process that stays: its import takes 14 s of CPU time, and what is asked of it next to none. */
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { type ExecaError, execa } from "execa";
import { findPython } from "../../src/python/environment.js";

const LOOP = `
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import sentence_transformers
for line in sys.stdin:
    code, given = json.loads(line)
    scope = {"given": given}
    exec(code, scope)
    print(json.dumps(scope["answer"]), file=answers, flush=True)
`;

/** Ends with this process, whose end is that of its stdin. */
let peer: { readonly lines: Interface; readonly died: Promise<never>; write(line: string): void } | undefined;

/**
 * Runs a script of Python; one at a time.
 *
 * @param code finds `given` and leaves its `answer`
 * @returns the answer, by way of JSON
 */
export async function askPeer<T>(code: string, given: unknown): Promise<T> {
  peer ??= await start();
  const answered = once(peer.lines, "line") as Promise<[string]>;
  peer.write(`${JSON.stringify([code, given])}\n`);
  const [line] = await Promise.race([answered, peer.died]);
  return JSON.parse(line) as T;
}

async function start(): Promise<NonNullable<typeof peer>> {
  const { executable, env } = await findPython({ extras: ["demo", "test"] });
  const child = execa(executable, ["-c", LOOP], { env: { ...env, HF_HUB_OFFLINE: "1" }, buffer: { stdout: false } });
  const died = child.then(
    () => Promise.reject(new Error("the peer has ended")),
    (error: ExecaError) => Promise.reject(new Error(error.stderr as string)),
  );
  died.catch(() => {
    peer = undefined;
  });
  return { lines: createInterface(child.stdout), died, write: (line) => void child.stdin.write(line) };
}
