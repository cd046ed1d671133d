/** Workers that somebody starts by hand: the command to paste, with the ticket as a here-document. */

const MARK = "QUARRY_TICKET";

/**
 * A command that brings the machine it is pasted on. The ticket goes over stdin, into no list of processes and, where the
 * shell keeps a history, into that: treat it like a password that ends with the run.
 */
export function pastedCommand(ticket: string, program = "npx quarry"): string {
  return `${program} join --ticket - <<'${MARK}'\n${ticket}\n${MARK}\n`;
}
