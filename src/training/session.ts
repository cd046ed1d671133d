/** One launch of torchrun from start to end: greets the ranks, serves their micro-batches, hears what became of them. */
import { setTimeout as sleep } from "node:timers/promises";
import { QuarryError, toQuarryError } from "../errors.js";
import { gone, groupGone } from "../pool/launch/gone.js";
import { type RankDeath, startTorchrun, type TorchrunProcess } from "../pool/launch/torchrun.js";
import type { Launched } from "../pool/reception.js";
import { Supply } from "../pool/supply.js";
import { openTransport, type Transport } from "../pool/transport.js";
import type { DownMessage, Unversioned, UpMessage } from "../protocol/messages.js";
import { findLatestCheckpoint, layoutFrom, removeHalfWritten } from "./checkpoints.js";
import { describeDeath, describeExit, rankError, startError } from "./death.js";
import { InOrder } from "./in-order.js";
import type { Layout, TrainJob } from "./job.js";
import { arrangeMeeting, worldSizes } from "./meeting.js";
import type { TrainProgress } from "./progress.js";
import { type Generation, greet, noGeneration, type RankPeer, rankOf } from "./ranks.js";
import { microBatchMessage, trainTask } from "./task.js";
import { Watch } from "./watch.js";

type Fatal = Extract<UpMessage, { type: "fatal" }>;

/** How a launch ended. */
export type SessionEnd =
  | { readonly kind: "trained"; readonly step: number; readonly path: string }
  /** Killed on request before there was anything to save. */
  | { readonly kind: "stopped" }
  /** Starting again would change nothing. */
  | { readonly kind: "failed"; readonly error: QuarryError }
  /** Starting again may help; `restarts` were spent inside the launch. */
  | { readonly kind: "died"; readonly reason: string; readonly restarts: number };

/** Other ranks may know better which rows are to blame; they get this long to say so. */
const FATAL_GRACE_MS = 300;
const TICK_MS = 500;
const LIMITS = { startMs: 300_000, silenceMs: 60_000, stepMs: 600_000, stopMs: 10_000, saveMs: 60_000 };
/** Texts of each kind that an error names. */
const NAMED_ROWS = 10;
/** Everything is saved by then; a rank that takes longer to say goodbye is ended. */
const LEAVE_MS = 2_000;
/** Between the end of the last other machine and what follows from it. */
const MISS_MS = 1_000;
/** A rank on another machine hears of this process at least so often; it leaves after a longer silence. */
const SIGN_OF_LIFE_MS = 2_000;

/** Runs one launch; nothing of it is left running when the promise resolves. */
export async function runSession(
  job: TrainJob,
  layout: Layout,
  progress: TrainProgress,
  maxRestarts: number,
): Promise<SessionEnd> {
  const session = new Session(job, layout, progress);
  return session.run(maxRestarts);
}

class Session {
  readonly #job: TrainJob;
  #layout: Layout;
  readonly #progress: TrainProgress;
  readonly #ended: Promise<SessionEnd>;
  readonly #pids = new Set<number>();
  readonly #fatals: { readonly rank: number; readonly fatal: Fatal }[] = [];
  readonly #watch: Watch;
  readonly #supply: Supply;
  readonly #answers = new InOrder<string>((thrown) => this.#fail(thrown));
  /** Ranks that wait for an evaluation to begin. */
  readonly #standing = new Set<number>();
  #settle: (end: SessionEnd) => void = () => undefined;
  #transport: Transport | undefined;
  #generation: Generation = noGeneration;
  #firstDeath: RankDeath | null = null;
  /** Steps that are done; null until this start of the ranks has done one. */
  #done: number | null = null;
  /** The last step of which a rank has a micro-batch; they count from 0. */
  #served = -1;
  /** Steps from this one on are not served any more. */
  #end = Number.POSITIVE_INFINITY;
  /** The step of the last checkpoint that counts. */
  #saved: number | null = null;

  constructor(job: TrainJob, layout: Layout, progress: TrainProgress) {
    this.#job = job;
    this.#layout = layout;
    this.#progress = progress;
    const { stepTimeoutMs: stepMs = LIMITS.stepMs, startTimeoutMs: startMs = LIMITS.startMs } = job;
    this.#watch = new Watch({ ...LIMITS, stepMs, startMs }, layout.worldSize);
    this.#supply = new Supply(() => ({
      send: (peer, message, frames) => this.#send(peer, message, frames),
      kill: (peer, reason) => this.#fail(new QuarryError("WORKER", `A rank on another machine ${reason}.`)),
    }));
    this.#ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  async run(maxRestarts: number): Promise<SessionEnd> {
    const { ranks: all, nodes, python, threads, device, logDir, signal, halt: halting } = this.#job;
    const meeting = nodes === undefined ? null : await arrangeMeeting(this.#job, nodes, maxRestarts);
    const transport = await openTransport(
      {
        onMessage: (peer, message) => this.#guarded(() => this.#hear(peer, message)),
        onViolation: (_peer, error) =>
          this.#job.events.emit({ type: "warning", message: error.message, hint: error.hint ?? null }),
      },
      nodes === undefined ? {} : { listen: nodes.listen },
    );
    this.#transport = transport;
    const timers = [setInterval(() => this.#tick(), TICK_MS), setInterval(() => this.#ping(), SIGN_OF_LIFE_MS)];
    const stop = (): void => this.#stop(true);
    let child: TorchrunProcess | null = null;
    let others: Launched | null = null;
    let isTrained = false;
    const halt = (): void => this.#stop(false);
    try {
      const { ticketPath } = transport;
      const onRankDeath = (death: RankDeath): void => this.#bury(death);
      const ranks = all / (nodes?.count ?? 1);
      const joining = meeting === null ? {} : { meeting: meeting.arguments };
      // What torchrun is forked from may hang before it forks.
      const over = new AbortController();
      void this.#ended.then(() => over.abort());
      const stopping = AbortSignal.any([over.signal, signal, halting].filter((each) => each !== undefined));
      const limits = { maxRestarts, threads, device, signal: stopping };
      const options = { python, ticketPath, ranks, logDir, onRankDeath, ...limits, ...joining };
      for (let rank = 0; rank < all; rank += 1) this.#progress.rank(rank, null, "starting", null);
      child = await startTorchrun(options);
      if (!over.signal.aborted) others = (await meeting?.start(() => transport.admit())) ?? null;
      if (nodes !== undefined && nodes.least > 1) void others?.ended.then(() => this.#miss());
      void this.#awaitExit(child);
      signal?.addEventListener("abort", stop);
      if (signal?.aborted) stop();
      halting?.addEventListener("abort", halt);
      if (halting?.aborted) halt();
      const end = await this.#ended;
      isTrained = end.kind === "trained";
      if (isTrained) await Promise.race([child.exited, sleep(LEAVE_MS, undefined, { ref: false })]);
      return end;
    } finally {
      child?.kill();
      await child?.exited;
      await gone(this.#pids);
      if (child?.pid !== undefined) await groupGone(child.pid);
      signal?.removeEventListener("abort", stop);
      halting?.removeEventListener("abort", halt);
      for (const timer of timers) clearInterval(timer);
      await others?.close(isTrained ? LEAVE_MS : 0);
      await transport.close();
    }
  }

  /** torchrun would wait for machines that nobody starts any more; a new launch starts them. */
  async #miss(): Promise<void> {
    // At the end of a training they may be gone before its last word is read.
    await sleep(MISS_MS, undefined, { ref: false });
    const reason = `All other machines of the training have ended (see train-node-*.log in ${this.#job.logDir}).`;
    this.#settle({ kind: "died", reason, restarts: Math.max(0, this.#generation.number) });
  }

  #ping(): void {
    for (const { peer } of this.#generation.ranks.values()) {
      if (this.#transport?.isRemote(peer)) this.#send(peer, { type: "ping" });
    }
  }

  /** Whoever asked for it: after a death nothing starts again. */
  get #isStopping(): boolean {
    return this.#job.signal?.aborted === true || this.#job.halt?.aborted === true;
  }

  #hear(peer: string, message: UpMessage): void {
    if (message.type === "hello") return this.#greet(peer, message);
    const rank = rankOf(this.#generation, peer);
    // A rank of an earlier generation: its messages were on their way when it died.
    if (rank === null) return;
    this.#watch.heard(rank.rank, message.type === "heartbeat" ? message.progress : undefined);
    switch (message.type) {
      case "ready":
        return this.#progress.rank(rank.rank, rank.device, "ready", message.model?.architecture ?? null);
      case "fetch":
        return this.#supply.fetch(peer, message.checkpoint, message.file, message.offset);
      case "next":
        return this.#serve(rank, message.step, message.microStep);
      case "trainStep":
        this.#done = message.step;
        this.#watch.stepped(message.step, message.seconds);
        this.#progress.finished(message, this.#generation.ranks.values());
        // The ranks may have looked at the wish to stop just before it came.
        if (this.#isStopping && this.#isBetweenSteps) this.#stop(this.#job.signal?.aborted === true);
        return;
      case "sealing":
        return void this.#seal(rank, message.step);
      case "checkpoint":
        this.#saved = message.step;
        return this.#job.events.emit({ type: "checkpoint", step: message.step, path: message.path });
      case "evaluate":
        return this.#evaluate(rank, message.step);
      case "trained":
        return this.#settle({ kind: "trained", step: message.step, path: message.path });
      case "log":
        return this.#job.events.emit({
          type: "log",
          source: `rank-${rank.rank}`,
          level: message.level,
          text: message.text,
        });
      case "fatal":
        return this.#blame(rank, message);
      case "bye":
        return this.#progress.rank(rank.rank, rank.device, "stopped", null);
      default:
        return;
    }
  }

  #greet(peer: string, hello: Extract<UpMessage, { type: "hello" }>): void {
    const greeting = greet(this.#generation, peer, hello, worldSizes(this.#job));
    if (greeting.kind === "refused") {
      const error = { code: "PROTOCOL" as const, message: greeting.reason, hint: null, isRetryable: false, rows: [] };
      return this.#send(peer, { type: "refuse", error });
    }
    this.#generation = greeting.generation;
    // Ids of processes on other machines say nothing here.
    if (this.#transport?.isRemote(peer)) this.#supply.add(peer);
    else this.#pids.add(hello.pid);
    if (greeting.isNew) {
      this.#done = null;
      this.#served = -1;
      this.#standing.clear();
      this.#firstDeath = null;
      this.#watch.begin(hello.worldSize);
    }
    this.#watch.heard(hello.rank);
    this.#progress.rank(hello.rank, hello.device, "loading", null);
    if (greeting.isComplete) void this.#configure(greeting.generation).catch((thrown) => this.#fail(thrown));
  }

  /** Decides once for a whole generation where it starts; its ranks would not agree if each looked for itself. */
  async #configure(generation: Generation): Promise<void> {
    const job = this.#job;
    await job.beforeStart?.();
    // Every rank of the generation before is dead, so nobody is writing.
    await removeHalfWritten(job.outputDir, job.events);
    const latest = await findLatestCheckpoint(job.outputDir);
    if (generation !== this.#generation) return;
    if (this.#isStopping) return this.#settle({ kind: "stopped" });
    this.#layout = layoutFrom(latest, job, generation.worldSize);
    if (latest !== null && latest.step >= job.maxSteps) return this.#settle({ kind: "trained", ...latest });
    this.#progress.restartAt(latest?.step ?? 0);
    const task = trainTask(job, this.#layout, latest?.path ?? null);
    for (const { peer } of generation.ranks.values()) {
      this.#supply.configure(peer, task, () => generation === this.#generation);
    }
  }

  #serve({ peer, rank }: RankPeer, step: number, microStep: number): void {
    const batch = this.#job.microBatch(step, microStep, rank, this.#layout);
    this.#answers.answer(peer, batch, (found) => {
      // It may have died while it waited.
      if (rankOf(this.#generation, peer) === null || step >= this.#end) return;
      this.#served = Math.max(this.#served, step);
      const { message, frames } = microBatchMessage(found, step, microStep);
      this.#send(peer, message, frames);
    });
  }

  /** A checkpoint counts once the steps that led to it are written down: nobody repeats them after it. */
  async #seal({ peer }: RankPeer, step: number): Promise<void> {
    try {
      await this.#job.beforeSeal?.();
    } catch (thrown) {
      return this.#fail(thrown);
    }
    if (rankOf(this.#generation, peer) !== null) this.#send(peer, { type: "seal", step });
  }

  #send(peer: string, message: Unversioned<DownMessage>, frames: readonly Uint8Array[] = []): void {
    this.#transport?.send(peer, message, frames);
  }

  /** Whether the ranks have done all steps whose batches they have, and wait for the next. */
  get #isBetweenSteps(): boolean {
    return this.#answers.isWaiting && this.#done !== null && this.#served < this.#done;
  }

  #stop(save: boolean): void {
    const endsBatches = this.#isBetweenSteps;
    // Without a finished step there is nothing to save that is not saved already.
    const isSaved = this.#done === null || (endsBatches && this.#saved === this.#done);
    if (isSaved || (endsBatches && !save)) return this.#settle({ kind: "stopped" });
    // All of them have to stop there: a batch that came after all would be one rank's alone.
    if (endsBatches) this.#end = this.#done as number;
    this.#watch.stop(endsBatches);
    const message = { type: "stopTraining", save, endsBatches } as const;
    for (const { peer } of this.#generation.ranks.values()) this.#send(peer, message);
  }

  /** Begins when all ranks stand: then the checkpoint is complete, and nobody comes too late to help. */
  #evaluate(rank: RankPeer, step: number): void {
    this.#progress.rank(rank.rank, rank.device, "busy", `evaluates step ${step}`);
    this.#standing.add(rank.rank);
    if (this.#standing.size < this.#layout.worldSize) return;
    this.#standing.clear();
    const ranks = [...this.#generation.ranks.values()];
    this.#job.evaluation?.inRanks?.(step, (order) => {
      for (const { peer } of ranks) this.#send(peer, { type: "evaluation", ...order });
    });
  }

  #blame(rank: RankPeer, fatal: Fatal): void {
    const { error } = fatal;
    this.#job.events.emit({ type: "log", source: `rank-${rank.rank}`, level: "error", text: error.message });
    if (error.isRetryable) return;
    this.#fatals.push({ rank: rank.rank, fatal });
    if (this.#fatals.length > 1) return;
    setTimeout(() => {
      const told = ({ fatal: { error } }: { fatal: Fatal }): number => error.rows.length;
      const first = this.#fatals.toSorted((a, b) => told(b) - told(a) || a.rank - b.rank)[0]?.fatal;
      if (first !== undefined) this.#settle({ kind: "failed", error: rankError(first.error, this.#named(first)) });
    }, FATAL_GRACE_MS);
  }

  /** The texts behind the rows of an error, or null when it has none. */
  #named({ queryRows, passageRows }: Fatal): string | null {
    const { nameRows } = this.#job;
    if (nameRows === undefined || queryRows.length + passageRows.length === 0) return null;
    const isAll = Math.max(queryRows.length, passageRows.length) <= NAMED_ROWS;
    try {
      const names = nameRows(queryRows.slice(0, NAMED_ROWS), passageRows.slice(0, NAMED_ROWS));
      return isAll ? names : `${names} and more`;
    } catch {
      // A row that the data does not have must not hide the error itself.
      return null;
    }
  }

  /** torchrun saw a rank die and is about to start all of them again, or to give up. */
  #bury(death: RankDeath): void {
    this.#firstDeath ??= death;
    this.#done = null;
    for (const { rank, device } of this.#generation.ranks.values()) {
      const isCulprit = rank === death.rank;
      const detail = isCulprit ? `${describeDeath(death)}; the ranks start again` : "starts again with the others";
      this.#progress.rank(rank, device, isCulprit ? "lost" : "starting", detail);
    }
    if (this.#isStopping) this.#settle({ kind: "stopped" });
  }

  async #awaitExit(child: TorchrunProcess): Promise<void> {
    const exit = await child.exited;
    // What the ranks said last may still be in the socket.
    await sleep(FATAL_GRACE_MS);
    if (this.#fatals.length > 0) return;
    const reason = describeExit(exit, this.#firstDeath, child);
    const hasStarted = this.#generation.number >= 0 || this.#firstDeath !== null || exit.signal !== null;
    if (this.#isStopping) this.#settle({ kind: "stopped" });
    else if (hasStarted) this.#settle({ kind: "died", reason, restarts: Math.max(0, this.#generation.number) });
    else this.#fail(startError(exit, reason, this.#job.logDir));
  }

  #tick(): void {
    // A rank that has to wait for its batch does not stand still by itself.
    if (this.#answers.isWaiting) this.#watch.moved();
    const alarm = this.#watch.tick(TICK_MS);
    if (alarm === null) return;
    if (alarm.kind === "stopped" || this.#isStopping) return this.#settle({ kind: "stopped" });
    this.#settle({ ...alarm, restarts: Math.max(0, this.#generation.number) });
  }

  #guarded(work: () => void): void {
    try {
      work();
    } catch (thrown) {
      this.#fail(thrown);
    }
  }

  #fail(thrown: unknown): void {
    this.#settle({ kind: "failed", error: toQuarryError(thrown) });
  }
}
