/** What a pool is opened with, and the crew that follows from it. */
import type { WorkersConfig } from "../experiment/schema.js";
import type { PythonEnvironment } from "../python/environment.js";
import type { EventStream } from "../report/events.js";
import type { CrewOptions } from "./crew.js";
import { countGpus } from "./gpus.js";
import { canFork } from "./launch/fork-server.js";
import type { Launch } from "./reception.js";
import { coreCount, type Place, planPlaces } from "./resources.js";

/** What a pool needs. */
export interface PoolOptions {
  readonly workers: WorkersConfig;
  readonly python: PythonEnvironment;
  /** Each worker's output goes to `<logDir>/<worker>.log`. */
  readonly logDir: string;
  readonly events: EventStream;
  /** Stops the job at hand; `close` still has to be called. */
  readonly signal?: AbortSignal;
  /** Program and first arguments of a worker in place of `python -m quarry_runtime worker`. */
  readonly workerCommand?: readonly string[];
  /** Patience from the start of a worker's process to its hello. */
  readonly startTimeoutMs?: number;
  /** Folder of the run, where commands and workers find the pool while it is open. */
  readonly runDir?: string;
  /** Starts workers on other machines. */
  readonly launch?: Launch;
}

/** Interpreter and imports on a slow disk. */
const START_TIMEOUT_MS = 120_000;

/** The places of a pool on this machine, and what its crew needs. */
export async function planCrew(
  options: PoolOptions,
): Promise<{ readonly places: readonly Place[]; readonly crew: CrewOptions }> {
  const { workers, python, logDir, events } = options;
  const warn = (message: string): void =>
    events.emit({ type: "warning", message, hint: "Mend the driver, or set workers.device to cpu." });
  const isGpuWanted = workers.device === "auto" || workers.device === "cuda" || workers.count === "auto";
  const gpuCount = isGpuWanted && workers.device !== "cpu" && workers.count !== 0 ? await countGpus(python, warn) : 0;
  const places = planPlaces(workers, gpuCount, coreCount());
  const { heartbeatTimeoutMs, unitTimeoutMs, listen } = workers;
  const command =
    options.workerCommand ?? (canFork ? undefined : [python.executable, "-m", "quarry_runtime", "worker"]);
  const crew = {
    places,
    python,
    logDir,
    heartbeatTimeoutMs,
    unitTimeoutMs,
    startTimeoutMs: options.startTimeoutMs ?? Math.max(START_TIMEOUT_MS, heartbeatTimeoutMs),
    ...(listen === undefined ? {} : { listen }),
    ...(command === undefined ? {} : { command }),
  };
  return { places, crew };
}
