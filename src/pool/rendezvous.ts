/** What a run folder says while its workers are at work: how commands reach the pool, and the ticket for joining it. */
import { rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { onExit } from "../exit.js";
import { pidSpace } from "../process-stat.js";
import { type TicketContent, ticketLine } from "./ticket.js";

/** pool.json: where the orchestrator is, and the ticket for its ipc socket. */
export const poolFile = z.object({
  pid: z.int(),
  host: z.string(),
  /** Of process numbers: a container may have its host's name; null where the system does not tell. */
  pidSpace: z.string().nullish(),
  /** Path of the ticket in the private folder; the run folder itself may be readable by others. */
  ticket: z.string(),
});
export type PoolFile = z.infer<typeof poolFile>;

export const POOL_FILE = "pool.json";
export const JOIN_FILE = "join.ticket";

/** Files in the run folder; `remove` takes them away and is safe in an exit handler. */
export interface Rendezvous {
  /** Path of the ticket for joining; null when nobody can. */
  readonly joinPath: string | null;
  remove(): void;
}

/**
 * Writes pool.json and, with a ticket, join.ticket (0600: whoever reads it can join).
 *
 * @param runDir an existing folder with one owner
 */
export function writeRendezvous(runDir: string, ticketPath: string, ticket: TicketContent | null): Rendezvous {
  const poolPath = join(runDir, POOL_FILE);
  const joinPath = ticket === null ? null : join(runDir, JOIN_FILE);
  const remove = (): void => {
    leaveExit();
    for (const path of [poolPath, joinPath]) if (path !== null) rmSync(path, { force: true });
  };
  const leaveExit = onExit(remove);
  // Those of a killed orchestrator: an old mode must not live on.
  rmSync(poolPath, { force: true });
  rmSync(join(runDir, JOIN_FILE), { force: true });
  const file: PoolFile = { pid: process.pid, host: hostname(), pidSpace: pidSpace(), ticket: ticketPath };
  writeFileSync(poolPath, `${JSON.stringify(file, null, 2)}\n`, { mode: 0o600 });
  if (joinPath !== null && ticket !== null) {
    writeFileSync(joinPath, `${ticketLine(ticket)}\n`, { mode: 0o600, flag: "wx" });
  }
  return { joinPath, remove };
}
