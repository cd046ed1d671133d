/** Kills, synchronously, every child that is still alive when this process exits by any way that lets it act. */
const alive = new Set<number>();
let isArmed = false;

/** Registers a child that leads its own process group; the returned function takes it off again when it has ended. */
export function reapOnExit(pid: number): () => void {
  if (!isArmed) {
    isArmed = true;
    process.on("exit", reap);
  }
  alive.add(pid);
  return () => alive.delete(pid);
}

/** SIGKILL, because nobody is left to wait for a polite end; SIGKILL of this process is what the life lines are for. */
function reap(): void {
  for (const pid of alive) {
    for (const target of [-pid, pid]) {
      try {
        process.kill(target, "SIGKILL");
      } catch {
        // Already gone.
      }
    }
  }
}
