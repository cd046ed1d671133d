/** Kills, synchronously, every child that is still alive when this process exits by any way that lets it act. */
import { onExit } from "../../exit.js";

/** Registers a child that leads its own process group; the returned function takes it off again when it has ended. */
export function reapOnExit(pid: number): () => void {
  return onExit(() => reap(pid));
}

/** SIGKILL, because nobody is left to wait for a polite end; SIGKILL of this process is what the life lines are for. */
function reap(pid: number): void {
  for (const target of [-pid, pid]) {
    try {
      process.kill(target, "SIGKILL");
    } catch {
      // Already gone.
    }
  }
}
