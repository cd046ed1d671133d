/** A pool that nodes join over TCP, each node one worker, and the processes of these nodes. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { execa } from "execa";
import type { Experiment } from "../../../src/index.js";
import { openPool } from "../../../src/pool/pool.js";
import type { WorkerPool } from "../../../src/pool/types.js";
import { EventStream } from "../../../src/report/events.js";
import type { Context } from "../shared/context.js";
import type { Network } from "./network.js";

const JOIN_PATIENCE_MS = 60_000;
const LEAVE_PATIENCE_MS = 10_000;

/** A pool on its own, and the nodes that were sent to it. */
export class Cluster {
  /** Texts that each worker has done, as the pool tells it. */
  readonly done = new Map<string, number>();
  readonly #ready = new Set<string>();
  readonly #joined = new Set<string>();
  readonly #processes: { readonly end: () => Promise<void> }[] = [];

  private constructor(
    private readonly context: Context,
    private readonly network: Network,
    private readonly runDir: string,
    readonly pool: WorkerPool,
  ) {}

  /** Opens the pool; nobody works until a node joins. */
  static async open(context: Context, network: Network, name: string, experiment: Experiment): Promise<Cluster> {
    const runDir = join(context.folder, name);
    await mkdir(runDir, { mode: 0o700 });
    const events = new EventStream();
    const pool = await openPool({
      workers: experiment.config.workers,
      python: context.python,
      logDir: join(runDir, "logs"),
      runDir,
      events,
    });
    const cluster = new Cluster(context, network, runDir, pool);
    events.subscribe((event) => {
      if (event.type === "warning") context.note(event.message);
      if (event.type !== "worker") return;
      cluster.done.set(event.worker, event.done);
      cluster.#joined.add(event.worker);
      if (event.state === "ready") cluster.#ready.add(event.worker);
    });
    return cluster;
  }

  /** Workers that have loaded the model. */
  get readyCount(): number {
    return this.#ready.size;
  }

  /** Starts a node with one worker; `slowness` is a factor on what its encoder takes. */
  start(node: number, slowness = 1): void {
    const [command = "", ...args] = [
      ...this.network.prefix(node),
      this.context.python.executable,
      ...["-m", "quarry_runtime", "join", "--ticket", join(this.runDir, "join.ticket"), "--device", "cpu"],
      ...["--workers", "1", "--threads", "1", "--name", `node-${node}`],
    ];
    const child = execa(command, args, {
      env: { ...this.context.python.env, QUARRY_BENCH_SLOWNESS: String(slowness), HF_HUB_OFFLINE: "1" },
      extendEnv: false,
      reject: false,
      stdin: "ignore",
      all: true,
    });
    this.#processes.push({
      end: async () => {
        const ended = await Promise.race([child.then(() => true), sleep(LEAVE_PATIENCE_MS, false)]);
        if (ended) return;
        child.kill("SIGKILL");
        await child;
      },
    });
  }

  /** Waits until so many nodes have joined. */
  async joined(count: number): Promise<void> {
    const end = performance.now() + JOIN_PATIENCE_MS;
    while (this.#joined.size < count) {
      if (performance.now() > end) throw new Error(`${this.#joined.size} of ${count} nodes joined within a minute.`);
      await sleep(50);
    }
  }

  /** Ends the pool; its nodes leave by themselves, or are made to. */
  async close(): Promise<void> {
    await this.pool.close();
    await Promise.all(this.#processes.map(({ end }) => end()));
  }
}
