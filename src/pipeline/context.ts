/** What every verb of a run shares: the run folder, the events, the Python environment and one pool of workers. */
import type { DataContext } from "../data/types.js";
import { stopIfAborted } from "../errors.js";
import type { Experiment } from "../experiment/define.js";
import type { ExperimentConfig, ModelConfig } from "../experiment/schema.js";
import { countGpus } from "../pool/gpus.js";
import { launchNodes } from "../pool/launch/nodes.js";
import { openPool } from "../pool/pool.js";
import { defaultBatchSize } from "../pool/resources.js";
import type { WorkerPool } from "../pool/types.js";
import type { ModelSpec } from "../protocol/messages.js";
import { findPython, type PythonEnvironment } from "../python/environment.js";
import type { EventBodyOf, EventStream } from "../report/events.js";
import type { RunDir } from "../rundir/directory.js";
import { cacheDirOf, dataContextOf } from "./data-context.js";
import { toModelSpec } from "./model-spec.js";
import { PluginSources } from "./plugin-sources.js";
import { pythonVersions } from "./versions.js";

/** The surroundings of a run; made once, closed once. */
export class RunContext {
  #pool: Promise<WorkerPool> | null = null;
  #python: Promise<PythonEnvironment> | null = null;
  #batchSize: Promise<number> | null = null;
  readonly #told = new Set<string>();
  readonly config: ExperimentConfig;
  readonly cacheDir: string;
  /** One for all contexts of a run. */
  readonly pluginSources: PluginSources;

  constructor(
    readonly experiment: Experiment,
    readonly runDir: RunDir,
    readonly events: EventStream,
    readonly signal: AbortSignal,
    private readonly parent: RunContext | null = null,
  ) {
    this.config = experiment.config;
    this.pluginSources = parent?.pluginSources ?? new PluginSources();
    this.cacheDir = cacheDirOf(experiment);
  }

  /** Raises INTERRUPTED once a stop was asked for. */
  checkStop(): void {
    stopIfAborted(this.signal);
  }

  /**
   * The model as it travels, with the content that its plugins had when this run first needed them.
   *
   * @param checkpoint see toModelSpec
   */
  modelSpec(checkpoint?: string): ModelSpec {
    return toModelSpec(this.experiment, checkpoint, this.pluginSources);
  }

  /** The same run with another model in the place of the experiment's; the workers are shared. */
  withModel(model: ModelConfig): RunContext {
    const experiment = { ...this.experiment, config: { ...this.config, model } };
    return new RunContext(experiment, this.runDir, this.events, this.signal, this);
  }

  python(): Promise<PythonEnvironment> {
    if (this.parent !== null) return this.parent.python();
    this.#python ??= this.#findPython();
    return this.#python;
  }

  async #findPython(): Promise<PythonEnvironment> {
    const python = await findPython({ signal: this.signal });
    await this.runDir.recordEnvironment({ python: await pythonVersions(python) });
    return python;
  }

  /** Texts in a forward pass where the experiment does not say; asked once, since nvidia-smi takes its time. */
  defaultBatchSize(): Promise<number> {
    if (this.parent !== null) return this.parent.defaultBatchSize();
    this.#batchSize ??= defaultBatchSize(this.config.workers, async () => countGpus(await this.python()));
    return this.#batchSize;
  }

  /** The workers; started when first needed, so that a finished step costs nothing. */
  pool(): Promise<WorkerPool> {
    if (this.parent !== null) return this.parent.pool();
    this.#pool ??= this.python().then((python) => {
      const { workers } = this.config;
      const surroundings = { python, logDir: this.runDir.file("logs"), runDir: this.runDir.path, events: this.events };
      const launch =
        workers.nodes.length === 0 ? {} : { launch: launchNodes({ nodes: workers.nodes, ...surroundings }) };
      return openPool({ workers, ...surroundings, ...launch, signal: this.signal });
    });
    return this.#pool;
  }

  /** Ends the workers: at the end of a run, and before training, which needs the devices for itself. */
  async closePool(): Promise<void> {
    const pool = this.#pool;
    this.#pool = null;
    if (pool === null) return;
    // A pool that failed to open has nothing left to close; its error was already thrown to whoever asked for it.
    const opened = await pool.catch(() => null);
    await opened?.close();
  }

  dataContext(onProgress?: DataContext["onProgress"]): DataContext {
    return dataContextOf(this.experiment, {
      signal: this.signal,
      onProgress,
      onWarning: (message, hint) => {
        // Data is looked through before the first step and opened again by each: what was told once is known.
        if (!this.#told.has(message)) this.events.emit({ type: "warning", message, hint });
        this.#told.add(message);
      },
    });
  }

  /**
   * Runs one phase: its beginning and end become events, its seconds are returned.
   *
   * @param start `phase` is a path: the step, the data set or retriever of several that it is about, the piece of work.
   */
  async phase<T>(
    start: Omit<EventBodyOf<"phaseStarted">, "type">,
    work: () => Promise<{ readonly value: T; readonly done: number; readonly isCached?: true }>,
  ): Promise<T> {
    this.checkStop();
    const one = start.phase.split("/").slice(1, -1).at(-1);
    // The pieces of work are the same for each of several, so whoever watches has to be told which one it is.
    const label = one === undefined ? start.label : `${one}, ${start.label}`;
    this.events.emit({ type: "phaseStarted", ...start, label });
    const begin = performance.now();
    const { value, done, isCached } = await work();
    const seconds = (performance.now() - begin) / 1000;
    const end = { type: "phaseFinished", phase: start.phase, seconds, done } as const;
    this.events.emit(isCached === undefined ? end : { ...end, isCached });
    return value;
  }
}
