/** Workers beside the ranks of a training: a run context with a pool of its own, for work on complete checkpoints. */
import { QuarryError } from "../errors.js";
import type { ExperimentConfig, SideWorkersConfig, WorkersConfig } from "../experiment/schema.js";
import { isOneGpu, usableGpus, withGpus, withNamedGpu } from "../pool/gpus.js";
import { openPool } from "../pool/pool.js";
import { coreCount } from "../pool/resources.js";
import type { WorkerPool } from "../pool/types.js";
import type { PythonEnvironment } from "../python/environment.js";
import { EventStream, type QuarryEvent } from "../report/events.js";
import { RunContext } from "./context.js";

/** Opens the pool of a side context; told apart from the workers' own so that ranks can be workers as well. */
export type OpenSidePool = (side: SideContext) => Promise<WorkerPool>;

/** What a side context is made of. */
export interface SideOptions {
  /** Names its workers in events (`<name>-0`) and its folder of logs. */
  readonly name: string;
  /** Sections of the experiment in which it differs. */
  readonly config?: Partial<ExperimentConfig>;
  readonly open: OpenSidePool;
  /** Whether its workers have rows of their own beside the ranks'; default: true. */
  readonly showsWorkers?: boolean;
}

/**
 * The same run with workers of its own. Every verb's part that takes a run context works with it: retrieve, mining,
 * encoding. Its phases are not shown; warnings and workers are.
 *
 * @example
 * const side = new SideContext(context, { name: "evaluate", open: await besideRanks(context, options, ranks, path) });
 * try {
 *   await retrieve(side, { ...what, model: { label: "checkpoint-40", checkpoint } });
 * } finally {
 *   await side.close();
 * }
 */
export class SideContext extends RunContext {
  readonly #options: SideOptions;
  readonly #stop: AbortController;
  #own: Promise<WorkerPool> | null = null;

  constructor(context: RunContext, options: SideOptions) {
    const stop = new AbortController();
    const { experiment, runDir, signal } = context;
    const changed = { ...experiment, config: { ...experiment.config, ...options.config } };
    super(changed, runDir, relayTo(context.events, options), AbortSignal.any([signal, stop.signal]), context);
    this.#options = options;
    this.#stop = stop;
  }

  /** Where its workers' output goes. */
  get logDir(): string {
    return this.runDir.file("logs", this.#options.name);
  }

  override pool(): Promise<WorkerPool> {
    this.#own ??= this.#options.open(this);
    return this.#own;
  }

  /** Ends its workers; the next piece of work starts new ones. */
  override async closePool(): Promise<void> {
    const pool = this.#own;
    this.#own = null;
    // A pool that failed to open has nothing left to close; its error was already thrown to whoever asked for it.
    await (await pool?.catch(() => null))?.close();
  }

  /** Cuts off what is going on, and ends its workers. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.closePool();
  }
}

/** The option under which workers beside ranks stand. */
export type SidePath = "train.evaluate.workers" | "train.refresh.workers";

/**
 * Plans worker processes of their own on what the ranks leave free; nothing is started yet.
 *
 * @param ranks training processes on this machine; with GPUs, rank n holds the nth one that ranks may use
 * @throws QuarryError CONFIG when the ranks hold all GPUs, and the CPU would not do.
 */
export async function besideRanks(
  context: RunContext,
  options: SideWorkersConfig,
  ranks: number,
  path: SidePath,
): Promise<OpenSidePool> {
  const python = await context.python();
  const visible = await gpusBeside(python, context.config.workers.device);
  const rankThreads = context.config.train?.threads ?? Math.max(1, Math.floor(coreCount() / ranks));
  const machine = { visible, ranks, freeCores: coreCount() - ranks * rankThreads, cores: coreCount() };
  const { gpus, ...workers } = planSide(options, machine, path);
  return (side) =>
    openPool({
      workers: { ...ownWorkers(context.config.workers), ...workers },
      python: gpus === null ? python : withGpus(python, gpus),
      // The rendezvous of the run folder stays the run's own pool's: nobody joins here.
      logDir: side.logDir,
      events: side.events,
      signal: side.signal,
    });
}

/** GPUs of the machine of a training, those that the ranks may use first; none where they are to be left alone. */
export async function gpusBeside(python: PythonEnvironment, device: string): Promise<string[]> {
  if (device === "cpu") return [];
  const ids = (await usableGpus(python)).map(({ id }) => id);
  if (!isOneGpu(device)) return ids;
  const [own] = await usableGpus(await withNamedGpu(python, device));
  return own === undefined ? ids : [own.id, ...ids.filter((id) => id !== own.id)];
}

/** The options of a pool that nobody from elsewhere joins. */
export function ownWorkers({ listen: _listen, nodes: _nodes, ...workers }: WorkersConfig): WorkersConfig {
  return { ...workers, nodes: [] };
}

/** What a machine has beside the ranks. */
export interface Surroundings {
  /** GPUs that may be used, the ranks' first, as CUDA_VISIBLE_DEVICES names them; empty when training is on the CPU. */
  readonly visible: readonly string[];
  readonly ranks: number;
  readonly cores: number;
  /** Cores that no rank computes on; may be none. */
  readonly freeCores: number;
}

/**
 * Who works where; pure.
 *
 * @returns `gpus` are the only ones the workers see, null for all
 */
export function planSide(
  { count, device, threads }: SideWorkersConfig,
  { visible, ranks, cores, freeCores }: Surroundings,
  path: SidePath,
): Pick<WorkersConfig, "count" | "device" | "threads"> & { readonly gpus: readonly string[] | null } {
  const free = visible.slice(ranks);
  // Mining has a whole period of time; an evaluation on a CPU that falls behind would never be over.
  const isCpuEnough = visible.length === 0 || path === "train.refresh.workers";
  if (device === "cpu" || (device === "auto" && free.length === 0 && isCpuEnough)) {
    const workers = count === "auto" ? 1 : count;
    return {
      count: workers,
      device: "cpu",
      threads: threads ?? Math.max(1, Math.floor(freeCores / workers)),
      gpus: null,
    };
  }
  const shared = threads ?? Math.max(1, Math.floor(cores / Math.max(1, visible.length)));
  if (device !== "auto") return { count: count === "auto" ? 1 : count, device, threads: shared, gpus: null };
  if (free.length > 0)
    return { count: count === "auto" ? free.length : count, device: "auto", threads: shared, gpus: free };
  const fewer = visible.length > 1 ? `train.ranks to ${visible.length - 1} or less, or ` : "";
  throw new QuarryError(
    "CONFIG",
    `${path}: ${ranks === 1 ? "the rank holds" : `the ${ranks} ranks hold`} ${visible.length === 1 ? "the only GPU" : `all ${visible.length} GPUs`} of this machine.`,
    {
      hint: `Set ${fewer}${path}.device to cpu, or to cuda:N to share a rank's GPU.`,
    },
  );
}

/** Passes on what a user should hear; what is a phase inside of something else is not. */
function relayTo(events: EventStream, { name, showsWorkers = true }: SideOptions): EventStream {
  const own = new EventStream();
  own.subscribe((event) => {
    const told = relayed(event, name, showsWorkers);
    if (told !== null) events.emit(told);
  });
  return own;
}

function relayed({ time: _time, ...event }: QuarryEvent, name: string, showsWorkers: boolean) {
  const renamed = (worker: string): string => worker.replace(/^worker-/, `${name}-`);
  switch (event.type) {
    case "worker":
      return showsWorkers ? { ...event, worker: renamed(event.worker) } : null;
    case "log":
      return { ...event, source: renamed(event.source) };
    case "warning":
    case "error":
      return event;
    default:
      return null;
  }
}
