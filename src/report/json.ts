/** Events as JSON, one a line on stdout, for programs that watch a run. */
import type { EventListener } from "./events.js";
import type { Sink } from "./sink.js";

/** A listener that writes each event as it is; a value that JSON has no word for (a NaN loss) becomes null. */
export function jsonReporter(stdout: Sink): EventListener {
  return (event) => stdout.line(JSON.stringify(event));
}
