/** Tickets, which let a process join, and the private folder of one run: its ipc socket and the ticket for it. */
import { randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { readdir, rm, stat } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { makeTemporaryFolder, temporaryParents } from "./temporary-folder.js";

/** `sun_path` of a Unix socket holds 108 bytes, the closing zero included. */
const MAX_SOCKET_PATH_BYTES = 107;
/** Between a folder's making and its socket's listening lies much less. */
const STALE_AFTER_MS = 60_000;

/** What is needed to join, and the file that says so. */
export interface Ticket {
  readonly endpoint: string;
  readonly token: string;
  /** JSON file of mode 0600 with endpoint and token; keys travel in no argument and no environment variable. */
  readonly path: string;
  /** Takes the folder away; safe to call twice and in an exit handler. */
  remove(): void;
}

/** What a worker reads, from a file or a line: keys (Z85) only where the endpoint is TCP. */
export interface TicketContent {
  readonly endpoint: string;
  readonly token: string;
  readonly serverKey?: string;
  readonly clientPublicKey?: string;
  readonly clientSecretKey?: string;
}

/** A ticket in one line that can be pasted; whoever has it can join. */
export function ticketLine(content: TicketContent): string {
  return `quarry1.${Buffer.from(JSON.stringify(content)).toString("base64url")}`;
}

/**
 * Makes a fresh folder of mode 0700 with a ticket in it.
 *
 * @throws QuarryError ENVIRONMENT when no temporary folder has a path short enough for a socket.
 */
export function writeTicket(): Ticket {
  // A long TMPDIR (macOS, some schedulers) does not leave room for the socket.
  const folder = makeTemporaryFolder(
    "quarry-",
    (parent) => Buffer.byteLength(join(parent, "quarry-XXXXXX", "s")) <= MAX_SOCKET_PATH_BYTES,
  );
  const endpoint = `ipc://${join(folder, "s")}`;
  const token = randomBytes(32).toString("hex");
  const path = join(folder, "ticket.json");
  writeFileSync(path, JSON.stringify({ endpoint, token }), { mode: 0o600, flag: "wx" });
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  return { endpoint, token, path, remove };
}

/**
 * Removes the folders of orchestrators that were killed: older than a minute, with a socket on which nobody listens.
 * A process id would not do: containers may share the folder and not the ids.
 */
export async function sweepStaleTickets(): Promise<void> {
  for (const parent of temporaryParents()) {
    const names = await readdir(parent).catch(() => []);
    for (const name of names.filter((each) => /^quarry-\w{6}$/.test(each))) {
      const folder = join(parent, name);
      const info = await stat(folder).catch(() => null);
      if (info === null || info.uid !== process.getuid?.() || Date.now() - info.mtimeMs < STALE_AFTER_MS) continue;
      if (await isRefused(join(folder, "s"))) await rm(folder, { recursive: true, force: true }).catch(() => {});
    }
  }
}

/** Only a socket file without a listener refuses; no file, or no permission, says nothing. */
function isRefused(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(false);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
  });
}
