/** All texts about ranks that ended badly, in one place. */
import { constants } from "node:os";
import { join } from "node:path";
import { QuarryError, toldError } from "../errors.js";
import type { RankDeath, TorchrunExit, TorchrunProcess } from "../pool/launch/torchrun.js";
import type { ErrorInfo } from "../protocol/messages.js";

/** "was killed by SIGKILL" or "ended with status 3". */
export function describeDeath(death: RankDeath): string {
  return `Rank ${death.rank} (process ${death.pid}) ${describeCode(death.exitCode)}`;
}

/** Why a launch ended without a result. */
export function describeExit(exit: TorchrunExit, first: RankDeath | null, process: TorchrunProcess): string {
  if (first !== null) {
    const said =
      first.exitCode < 0 ? undefined : process.lastLinesOf(first.rank).findLast((line) => line.trim() !== "");
    return `${describeDeath(first)}${said === undefined ? "" : `: ${said.trim()}`}.`;
  }
  if (exit.signal !== null) return `torchrun was ${exit.how}.`;
  const said = exit.lastLines.findLast((line) => line.trim() !== "");
  return `torchrun ${exit.how}${said === undefined ? "" : `: ${said.trim()}`}.`;
}

/** The job's error when torchrun ended before any rank was there: what the runtime told of it, if it did. */
export function startError(exit: TorchrunExit, reason: string, logDir: string): QuarryError {
  return (
    toldError(exit.lastLines.join("\n")) ??
    new QuarryError("WORKER", `Training could not start: ${reason}`, { hint: `See ${logDir}.` })
  );
}

/** The job's error when the restarts are used up, or starting again would change nothing. */
export function deathError(reason: string, restarts: number, logDir: string): QuarryError {
  const used = restarts === 0 ? "" : ` It was started again ${restarts === 1 ? "once" : `${restarts} times`} before.`;
  return new QuarryError("WORKER", `Training could not go on. ${reason}${used}`, {
    hint: `See the logs of the ranks: ${join(logDir, "rank-*.log")} and torchrun.log; the same command goes on from the last checkpoint.`,
    isRetryable: true,
  });
}

/** A rank's own error as the job's; `texts` names what is behind its row numbers. */
export function rankError(info: ErrorInfo, texts: string | null): QuarryError {
  return new QuarryError(info.code, texts === null ? info.message : `${info.message}\n  texts: ${texts}`, {
    ...(info.hint === null ? {} : { hint: info.hint }),
    isRetryable: info.isRetryable,
  });
}

function describeCode(exitCode: number): string {
  if (exitCode >= 0) return `ended with status ${exitCode}`;
  const name = Object.entries(constants.signals).find(([, number]) => number === -exitCode)?.[0];
  return `was killed by ${name ?? `signal ${-exitCode}`}`;
}
