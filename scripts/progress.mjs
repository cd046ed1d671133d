/** One line per step of a set-up: rewritten in place on a terminal, now and then a line of its own elsewhere. */

const quietMs = 10_000;

/**
 * Shows that a step is at work.
 *
 * @param {string} label what is being done
 */
export function startStep(label) {
  const out = process.stderr;
  const isTerminal = out.isTTY && !process.env.CI;
  const startedAt = performance.now();
  const seconds = () => `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
  let detail = "";
  let shownAt = startedAt;
  const draw = () => {
    const text = `  ${label} · ${seconds()}${detail && ` · ${detail}`}`;
    if (isTerminal) out.write(`\r\x1b[K${text.slice(0, (out.columns || 80) - 1)}`);
    else out.write(`${text}\n`);
    shownAt = performance.now();
  };
  if (isTerminal) draw();
  else out.write(`  ${label} …\n`);
  const timer = setInterval(() => {
    if (isTerminal || performance.now() - shownAt >= quietMs) draw();
  }, 250);
  const end = (mark) => {
    clearInterval(timer);
    out.write(`${isTerminal ? "\r\x1b[K" : ""}  ${label} · ${mark}${seconds()}\n`);
  };
  return {
    /** @param {string} text what the step is doing now */
    detail(text) {
      detail = text.trim();
    },
    done: () => end(""),
    fail: () => end("failed after "),
  };
}
