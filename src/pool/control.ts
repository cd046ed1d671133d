/** The other end of a user's command: asks the pool that is at work on a run folder. */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { Dealer } from "zeromq";
import { z } from "zod";
import { QuarryError } from "../errors.js";
import { isOtherPidSpace } from "../process-stat.js";
import { decodeDown, encodeMessage } from "../protocol/codec.js";
import type { DownMessage, Unversioned, UpMessage } from "../protocol/messages.js";
import { isAlive } from "./launch/gone.js";
import { POOL_FILE, type PoolFile, poolFile } from "./rendezvous.js";

/** What a pool answers. */
export type Controlled = Extract<DownMessage, { type: "controlled" }>;

/** A connection to a pool. */
export interface PoolControl {
  /** @throws QuarryError ENVIRONMENT when the pool is gone. */
  list(): Promise<Controlled["workers"]>;
  /** Whether the pool lets the worker go, and why not; raises as `list` does. */
  drain(worker: string): Promise<Pick<Controlled, "isDone" | "text">>;
  /** Whether the pool is closed, or its process dead. */
  isOver(): boolean;
  close(): void;
}

const ANSWER_MS = 5_000;
/** The part of a ticket that the ipc socket asks for. */
const ticketFile = z.object({ endpoint: z.string(), token: z.string() });

/**
 * Connects to the pool of a run.
 *
 * @throws QuarryError ENVIRONMENT when no pool is at work there, or one on another machine or in another container.
 */
export async function openControl(runDir: string): Promise<PoolControl> {
  const { ticket, pid } = await readPoolFile(runDir);
  const content = await readJson(ticket, ticketFile);
  if (content === null) throw stale(runDir, pid);
  const socket = new Dealer({ linger: 0, receiveTimeout: ANSWER_MS });
  socket.connect(content.endpoint);
  await socket.send(encodeMessage(helloOf(content.token)) as Uint8Array[] as Buffer[]);
  const ask = async (action: "list" | "drain", worker: string | null): Promise<Controlled> => {
    await socket.send(encodeMessage({ type: "control", action, worker }) as Buffer[]);
    for (;;) {
      const parts = await socket.receive().catch(() => null);
      if (parts === null) throw gone(runDir, pid);
      const { message: answer } = decodeDown(parts);
      if (answer.type === "controlled") return answer;
      if (answer.type === "refuse") {
        const { code, message: text, hint } = answer.error;
        throw new QuarryError(code, text, hint === null ? {} : { hint });
      }
    }
  };
  return {
    list: async () => {
      const all: Controlled["workers"] = [];
      for (let part = await ask("list", null); part.workers.length > 0; ) {
        all.push(...part.workers);
        part = await ask("list", all.at(-1)?.name ?? null);
      }
      return all.sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
    },
    drain: (worker) => ask("drain", worker),
    isOver: () => !existsSync(ticket) || !isAlive(pid),
    close: () => socket.close(),
  };
}

/** Whether a pool of this machine seems to be at work on a run folder. */
export async function hasPool(runDir: string): Promise<boolean> {
  return readPoolFile(runDir).then(
    () => true,
    () => false,
  );
}

async function readPoolFile(runDir: string): Promise<PoolFile> {
  const file = await readJson(join(runDir, POOL_FILE), poolFile);
  if (file === null) {
    throw new QuarryError("ENVIRONMENT", `No workers are at work on ${runDir}.`, {
      hint: "Workers start when a run first needs them, and end with it; while a model is trained there are none.",
    });
  }
  if (file.host !== hostname()) {
    throw new QuarryError("ENVIRONMENT", `${runDir} is at work on ${file.host}.`, {
      hint: `Give the command on ${file.host}.`,
    });
  }
  if (isOtherPidSpace(file.pidSpace)) {
    throw new QuarryError("ENVIRONMENT", `${runDir} is at work on ${file.host}, in another container.`, {
      hint: "Give the command in that container.",
    });
  }
  if (!isAlive(file.pid)) throw stale(runDir, file.pid);
  return file;
}

function stale(runDir: string, pid: number): QuarryError {
  return new QuarryError("ENVIRONMENT", `The run that worked on ${runDir} (process ${pid}) is over: it was killed.`, {
    hint: "The same command goes on from there; quarry run removes what is left of the earlier one.",
  });
}

function gone(runDir: string, pid: number): QuarryError {
  return new QuarryError("ENVIRONMENT", `The run at work on ${runDir} (process ${pid}) does not answer.`, {
    hint: "It may just have ended, or be stopped.",
  });
}

/**
 * For whoever has its ticket: whether the run of a folder was killed, and left both there.
 *
 * @throws QuarryError ENVIRONMENT when it was; what says nothing, or is on another machine or in another
 *   container, passes.
 */
export async function refuseKilled(runDir: string): Promise<void> {
  const file = await readJson(join(runDir, POOL_FILE), poolFile).catch(() => null);
  const isHere = file !== null && file.host === hostname() && !isOtherPidSpace(file.pidSpace);
  if (isHere && !isAlive(file.pid)) throw stale(runDir, file.pid);
}

/** Null where there is no such file, or one that holds something else. */
async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
  try {
    return schema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EACCES") return null;
    throw new QuarryError("ENVIRONMENT", `${path} belongs to another user, and so does the run.`, {
      hint: "Give the command as that user.",
      cause: thrown,
    });
  }
}

function helloOf(token: string): Unversioned<UpMessage> {
  return {
    type: "hello",
    role: "control",
    name: "control",
    token,
    life: randomUUID(),
    pid: process.pid,
    host: hostname(),
    device: "none",
    deviceName: "none",
    rank: 0,
    worldSize: 1,
  };
}
