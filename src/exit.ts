/** What is done when this process ends: one listener of Node's for all, which warns of a leak from the eleventh on. */
const callbacks = new Set<() => void>();

/**
 * Calls back, once and synchronously, when the process ends by any way that lets it act.
 *
 * @returns takes the callback off again
 */
export function onExit(callback: () => void): () => void {
  if (callbacks.size === 0) process.on("exit", callAll);
  callbacks.add(callback);
  return () => {
    callbacks.delete(callback);
    if (callbacks.size === 0) process.off("exit", callAll);
  };
}

function callAll(): void {
  for (const callback of callbacks) {
    try {
      callback();
    } catch {
      // The others have their turn, and nobody is left to tell.
    }
  }
}
