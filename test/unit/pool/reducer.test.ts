/** The pool's logic under 10,000 random orders of events: no unit lost, none counted twice, no worker overloaded. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { PoolAction, PoolEvent } from "../../../src/pool/actions.js";
import { advance } from "../../../src/pool/reducer.js";
import { emptyPool, type JobPlan, UNIT } from "../../../src/pool/state.js";

type Order =
  | { readonly kind: "configure" }
  | { readonly kind: "drain" }
  | { readonly kind: "flush" }
  | { readonly kind: "unit"; readonly unit: number; readonly attempt: number };

interface SimulatedWorker {
  inbox: Order[];
  /** What it sent and nobody has read yet. */
  outbox: PoolEvent[];
  fresh: { unit: number; attempt: number }[];
}

/** Workers, disk and messages around the reducer, in an order that a list of numbers decides. */
class World {
  readonly state;
  readonly workers = new Map<string, SimulatedWorker>();
  readonly saving: { worker: string; session: string; units: readonly number[] }[] = [];
  readonly durable = new Map<number, number>();
  readonly givenUp: number[] = [];
  isFinished = false;
  isFailed = false;
  deaths = 0;
  joins = 0;
  /** Asked to leave, in their life at hand. */
  readonly leaving = new Set<string>();
  readonly coveredBy = new Map<string, readonly number[]>();

  constructor(
    readonly plan: JobPlan,
    workerCount: number,
    readonly credits: number,
    readonly killers: ReadonlySet<number> = new Set(),
    readonly isOpen = false,
  ) {
    const names = Array.from({ length: workerCount }, (_, index) => `w${index}`);
    this.state = emptyPool("test", names, isOpen);
    this.feed({ type: "begin", plan });
  }

  feed(event: PoolEvent): void {
    for (const action of advance(this.state, event)) this.perform(action);
    this.check();
  }

  perform(action: PoolAction): void {
    if (action.type === "launch") {
      if (this.leaving.has(action.worker)) throw new Error("broken law: the place of one that left stays empty");
      this.workers.set(action.worker, { inbox: [], outbox: [{ type: "hello", worker: action.worker }], fresh: [] });
    } else if (action.type === "configure") this.workers.get(action.worker)?.inbox.push({ kind: "configure" });
    else if (action.type === "flush") this.workers.get(action.worker)?.inbox.push({ kind: "flush" });
    else if (action.type === "dismiss") {
      const { inHand = [], held = [] } = this.state.workers.get(action.worker) ?? {};
      if (inHand.length + held.length > 0) throw new Error("broken law: nobody is let go with work in hand");
      this.workers.get(action.worker)?.inbox.push({ kind: "drain" });
    } else if (action.type === "sendUnit") {
      const { unit, attempt } = action;
      if (this.leaving.has(action.worker)) throw new Error("broken law: nothing new for one that leaves");
      this.workers.get(action.worker)?.inbox.push({ kind: "unit", unit, attempt });
    } else if (action.type === "persistVectors") this.saving.push({ ...action, units: [action.unit] });
    else if (action.type === "persistSnapshot") this.snapshotOf(action);
    else if (action.type === "giveUp") this.givenUp.push(action.unit);
    else if (action.type === "finished") this.isFinished = true;
    else if (action.type === "fail") this.isFailed = true;
    else if (action.type === "kill") throw new Error(`a sound worker was killed: ${action.reason}`);
  }

  /** A session's snapshot stands for all of its earlier ones; another life's must never go by the same name. */
  snapshotOf(action: Extract<PoolAction, { type: "persistSnapshot" }>): void {
    const earlier = this.coveredBy.get(action.session) ?? [];
    if (earlier.some((unit) => !action.covered.includes(unit))) throw new Error("broken law: snapshots only grow");
    this.coveredBy.set(action.session, action.covered);
    this.saving.push(action);
  }

  /** A worker comes by itself, under a name that another one may have had. */
  join(): void {
    const name = ["g0", "g1", "g2"].find((each) => !this.workers.has(each));
    if (name === undefined || !this.isOpen) return;
    this.joins += 1;
    this.leaving.delete(name);
    this.workers.set(name, { inbox: [], outbox: [], fresh: [] });
    this.feed({ type: "joined", worker: name });
  }

  leave(name: string): void {
    this.leaving.add(name);
    this.feed({ type: "leaving", worker: name });
  }

  /** One thing happens: `choice` says what, `who` to whom. */
  step(choice: number, who: number): void {
    const names = [...this.workers.keys()];
    const name = names[who % Math.max(1, names.length)];
    const worker = name === undefined ? undefined : this.workers.get(name);
    const kind = choice % 8;
    if (choice >= 240 && this.joins < 4) this.join();
    else if (choice >= 232 && name !== undefined && this.leaving.size < 2) this.leave(name);
    else if (kind === 0 && this.saving.length > 0) this.save(who);
    else if (name === undefined || worker === undefined) return;
    else if (kind === 1 && this.deaths < 6) this.die(name);
    else if (kind <= 4) this.work(name, worker, choice >= 200);
    else this.read(worker);
  }

  save(which: number): void {
    const [done] = this.saving.splice(which % this.saving.length, 1);
    if (done === undefined) return;
    for (const unit of done.units) this.durable.set(unit, (this.durable.get(unit) ?? 0) + 1);
    this.feed({ ...done, type: "durable" });
  }

  die(name: string): void {
    this.deaths += 1;
    this.workers.delete(name);
    this.feed({ type: "died", worker: name, how: "was killed by SIGKILL" });
  }

  read(worker: SimulatedWorker): void {
    const event = worker.outbox.shift();
    if (event?.type === "died") this.workers.delete(event.worker);
    if (event !== undefined) this.feed(event);
  }

  work(name: string, worker: SimulatedWorker, isFailing: boolean): void {
    const message = worker.inbox.shift();
    if (message === undefined) return;
    if (message.kind === "drain") worker.outbox.push({ type: "died", worker: name, how: "left" });
    else if (message.kind === "configure") {
      worker.fresh = [];
      worker.outbox.push({ type: "ready", worker: name, credits: this.credits });
    } else if (message.kind === "flush") this.snapshot(name, worker);
    else if (this.killers.has(message.unit)) this.die(name);
    else if (isFailing) {
      const { unit, attempt } = message;
      worker.outbox.push({
        type: "failed",
        worker: name,
        unit,
        attempt,
        code: "DATA",
        message: "NaN",
        isRetryable: attempt % 2 === 1,
      });
    } else {
      const { unit, attempt } = message;
      const answer: PoolEvent = { type: "answered", worker: name, unit, attempt, seconds: 0.1 * (unit % 3) };
      // Every answer twice: the second one is late by definition.
      worker.outbox.push(answer, { ...answer, attempt: attempt + 7 }, answer);
      worker.fresh.push({ unit, attempt });
      if (this.plan.kind === "search" && worker.fresh.length >= 3) this.snapshot(name, worker);
    }
  }

  snapshot(name: string, worker: SimulatedWorker): void {
    worker.outbox.push({ type: "snapshot", worker: name, units: worker.fresh });
    worker.fresh = [];
  }

  /** Everything that is under way comes to its end, without further faults. */
  settle(): void {
    for (let round = 0; round < 10_000 && !this.isFinished && !this.isFailed; round += 1) {
      if (this.workers.size === 0) this.join();
      for (const [name, worker] of [...this.workers]) {
        if (worker.outbox.length > 0) this.read(worker);
        else this.work(name, worker, false);
      }
      if (this.saving.length > 0) this.save(round);
    }
  }

  /** Plain comparisons: expect() would take half a minute for ten thousand runs. */
  check(): void {
    const { job } = this.state;
    if (job === null) return;
    const holds = (isTrue: boolean, law: string): void => {
      if (!isTrue) throw new Error(`broken law: ${law}`);
    };
    const owners = new Set<number>();
    let ownedCount = 0;
    for (const { inHand, held, credits, settling } of this.state.workers.values()) {
      holds(inHand.length <= credits, "no more in hand than credits");
      holds(settling >= 0, "no negative count of results being saved");
      holds(inHand.length + settling <= credits, "what waits for the disk counts");
      for (const unit of inHand) holds(job.status[unit] === UNIT.leased, "what is in hand is leased");
      for (const unit of held) holds(job.status[unit] === UNIT.held, "what is held is held");
      for (const unit of [...inHand, ...held]) owners.add(unit);
      ownedCount += inHand.length + held.length;
    }
    const counts = [0, 0, 0, 0, 0, 0];
    for (const status of job.status) counts[status] = (counts[status] ?? 0) + 1;
    const [waiting = 0, leased = 0, held = 0, settling = 0] = counts;
    holds(owners.size === ownedCount, "no unit in two hands");
    holds(ownedCount === leased + held, "no unit leased to nobody");
    holds(job.waitingCount === waiting, "waiting units are counted right");
    holds(job.openCount === waiting + leased + held + settling, "open units are counted right");
    const answered = held + settling + this.durable.size - this.doneBefore();
    holds(job.answeredRows === answered, "answered rows are counted right");
  }

  /** Durable but, for the moment, also counted as settling: saved and not yet told. */
  doneBefore(): number {
    const { job } = this.state;
    return [...this.durable.keys()].filter((unit) => job?.status[unit] === UNIT.settling).length;
  }
}

const planOf = (kind: "encode" | "search", unitCount: number, done: ReadonlySet<number> = new Set()): JobPlan => ({
  kind,
  unitCount,
  rowCount: () => 1,
  isDone: (unit) => done.has(unit),
  maxAttempts: 3,
});

const worlds = fc.record({
  kind: fc.constantFrom("encode" as const, "search" as const),
  unitCount: fc.nat(12),
  workerCount: fc.integer({ min: 1, max: 4 }),
  /** With 0 or more places of its own. */
  openPlaces: fc.option(fc.nat(3), { nil: null }),
  credits: fc.integer({ min: 1, max: 4 }),
  done: fc.uniqueArray(fc.nat(11), { maxLength: 4 }),
  steps: fc.array(fc.tuple(fc.nat(255), fc.nat(255)), { maxLength: 80, size: "max" }),
});

describe("the reducer", () => {
  it("loses no unit and counts none twice, in 10,000 random orders of events", () => {
    fc.assert(
      fc.property(worlds, ({ kind, unitCount, workerCount, openPlaces, credits, done, steps }) => {
        const before = new Set(done.filter((unit) => unit < unitCount));
        const plan = planOf(kind, unitCount, before);
        const world = new World(plan, openPlaces ?? workerCount, credits, new Set(), openPlaces !== null);
        for (const [choice, who] of steps) world.step(choice, who);
        world.settle();
        if (world.isFailed) return; // every worker died twice before it was ready, or was asked to leave
        expect(world.isFinished).toBe(true);
        expect([...world.durable.values()].every((count) => count === 1)).toBe(true);
        const all = [...world.durable.keys(), ...world.givenUp, ...before].sort((left, right) => left - right);
        expect(all).toEqual(Array.from({ length: unitCount }, (_, unit) => unit));
      }),
      { numRuns: 10_000 },
    );
  });

  it("gives up exactly the units that kill their workers, and never a neighbour", () => {
    fc.assert(
      fc.property(worlds, fc.uniqueArray(fc.nat(11), { maxLength: 3 }), ({ kind, workerCount, credits }, killers) => {
        const world = new World(planOf(kind, 12), workerCount, credits, new Set(killers));
        world.settle();
        expect(world.isFinished).toBe(true);
        expect(world.givenUp.sort((left, right) => left - right)).toEqual(
          [...killers].sort((left, right) => left - right),
        );
      }),
      { numRuns: 500 },
    );
  });

  it("lets nothing new out after a stop, and finishes when what is in hand has come in", () => {
    fc.assert(
      fc.property(worlds, ({ kind, workerCount, credits, steps }) => {
        const world = new World(planOf(kind, 12), workerCount, credits);
        for (const [choice, who] of steps) world.step(choice, who);
        world.feed({ type: "stop" });
        const waiting = world.state.job?.waitingCount ?? 0;
        world.settle();
        expect(world.isFinished || world.isFailed).toBe(true);
        expect(world.state.job?.waitingCount ?? 0).toBeGreaterThanOrEqual(waiting);
      }),
      { numRuns: 1_000 },
    );
  });

  it("takes in who joins between two jobs and midway, and waits for joiners when nobody is left", () => {
    const state = emptyPool("test", [], true);
    expect(advance(state, { type: "joined", worker: "g0" })).toEqual([]);
    expect(advance(state, { type: "begin", plan: planOf("encode", 3) })).toEqual([{ type: "configure", worker: "g0" }]);
    advance(state, { type: "ready", worker: "g0", credits: 2 });
    expect(state.workers.get("g0")?.inHand).toEqual([0, 1]);
    const actions = advance(state, { type: "died", worker: "g0", how: "lost its connection" });
    expect(actions).toEqual([expect.objectContaining({ type: "lost", fate: "gone", inHand: [0, 1] })]);
    expect([...state.workers]).toEqual([]);
    expect(advance(state, { type: "joined", worker: "g1" })).toEqual([{ type: "configure", worker: "g1" }]);
    const given = advance(state, { type: "ready", worker: "g1", credits: 2 });
    expect(given.map((action) => (action.type === "sendUnit" ? [action.unit, action.attempt] : action))).toEqual([
      [1, 2],
      [2, 1],
    ]);
  });

  it("goes on without a guest that cannot do the job while another may, and waits for nobody once all are gone", () => {
    const unable = (worker: string, isAnyoneExpected = false) =>
      ({ type: "unable", worker, isAnyoneExpected }) as const;
    const fails = expect.objectContaining({ type: "fail" }) as PoolAction;
    const state = emptyPool("test", [], true);
    for (const worker of ["g0", "g1", "g2"]) advance(state, { type: "joined", worker });
    advance(state, { type: "begin", plan: planOf("encode", 3) });
    expect(advance(state, unable("g0"))).toEqual([]);
    expect(advance(state, unable("g1"))).toEqual([]);
    // Neither of those that failed is anybody to wait for.
    expect(advance(state, unable("g2", true))).toEqual([]);
    expect(advance(state, unable("g2"))).toEqual([fails]);
    for (const worker of ["g0", "g1", "g2"]) {
      expect(advance(state, { type: "died", worker, how: "stopped" })).not.toContainEqual(fails);
    }
    expect(advance(state, { type: "closed" })).toEqual([{ type: "fail", message: "every node has ended" }]);
    advance(state, { type: "end" });
    expect(advance(state, { type: "begin", plan: planOf("encode", 3) })).toEqual([fails]);
  });

  it("does not blame a unit for the death of a worker that had to go", () => {
    for (const isLeaving of [false, true]) {
      const state = emptyPool("test", [], true);
      advance(state, { type: "joined", worker: "g0" });
      advance(state, { type: "begin", plan: planOf("encode", 3) });
      advance(state, { type: "ready", worker: "g0", credits: 2 });
      if (isLeaving) expect(advance(state, { type: "leaving", worker: "g0" })).toEqual([]);
      advance(state, { type: "died", worker: "g0", how: "lost its connection" });
      expect(state.job?.strikes[0]).toBe(isLeaving ? 0 : 1);
      expect(state.job?.waitingCount).toBe(3);
    }
  });

  it("finishes without the worker that did the last unit, once its result is durable", () => {
    const state = emptyPool("test", [], true);
    advance(state, { type: "joined", worker: "g0" });
    advance(state, { type: "begin", plan: planOf("encode", 1) });
    advance(state, { type: "ready", worker: "g0", credits: 2 });
    const [saved] = advance(state, { type: "answered", worker: "g0", unit: 0, attempt: 1, seconds: 1 });
    advance(state, { type: "died", worker: "g0", how: "lost its connection" });
    const session = saved?.type === "persistVectors" ? saved.session : "";
    expect(advance(state, { type: "durable", worker: "g0", session, units: [0] })).toEqual([{ type: "finished" }]);
  });

  it("fails when all were drained and none can join", () => {
    const state = emptyPool("test", ["w0"]);
    advance(state, { type: "begin", plan: planOf("encode", 3) });
    advance(state, { type: "hello", worker: "w0" });
    advance(state, { type: "ready", worker: "w0", credits: 1 });
    expect(advance(state, { type: "leaving", worker: "w0" })).toEqual([]);
    expect(advance(state, { type: "answered", worker: "w0", unit: 0, attempt: 1, seconds: 1 })).toContainEqual({
      type: "dismiss",
      worker: "w0",
    });
    const actions = advance(state, { type: "died", worker: "w0", how: "ended with status 0" });
    expect(actions).toContainEqual({ type: "fail", message: "all were drained" });
  });

  it("fails when every worker died twice before it was ready", () => {
    const state = emptyPool("test", ["w0", "w1"]);
    advance(state, { type: "begin", plan: planOf("encode", 3) });
    const die = (worker: string) => advance(state, { type: "died", worker, how: "ended with status 1" });
    expect([...die("w0"), ...die("w0"), ...die("w1")].map(({ type }) => type)).not.toContain("fail");
    expect(die("w1")).toContainEqual(
      expect.objectContaining({ type: "fail", message: expect.stringContaining("twice in a row") }),
    );
  });
});
