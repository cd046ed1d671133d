/** A command that stops on a signal, with the signal's own status. */
import { reportFailure } from "./failure.js";
import { EXIT_STATUS_OF, type StopSignal, watchSignals } from "./signals.js";

/**
 * Does work that listens to an abort signal.
 *
 * @param onward what is told behind the signal, of work that can be gone on with
 * @returns the status that the work ended with, or that of the signal that stopped it
 */
export async function withStop(
  isDebug: boolean,
  work: (signal: AbortSignal) => Promise<number>,
  onward = "",
): Promise<number> {
  const controller = new AbortController();
  const stoppedBy: { signal: StopSignal | null } = { signal: null };
  const signals = watchSignals((signal) => {
    stoppedBy.signal = signal;
    controller.abort();
  });
  try {
    return await work(controller.signal);
  } catch (thrown) {
    if (stoppedBy.signal === null) throw thrown;
    if (isDebug) reportFailure(thrown, true);
    process.stderr.write(`stopped by ${stoppedBy.signal}${onward}\n`);
    return EXIT_STATUS_OF[stoppedBy.signal];
  } finally {
    signals.close();
  }
}
