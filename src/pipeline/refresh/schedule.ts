/** When negatives are mined and from which step on they count: (state, event) → (state, actions), without I/O or clock. */
import { type Switch, versionAt } from "./switches.js";

/** What the options of train.refresh come to. Steps are optimiser steps that a checkpoint has seen. */
export interface RefreshRules {
  readonly everySteps: number;
  /** Steps between the checkpoint that mines and the first one that learns from it; "ready": as soon as it is mined. */
  readonly switchAfterSteps: number | "ready";
  /** The most steps between the checkpoint that mined and a step that learns from it; null: any. */
  readonly maxStaleness: number | null;
  readonly maxSteps: number;
}

/** What is known at a moment. */
export interface RefreshState {
  /** Durable in the journal, in order. */
  readonly switches: readonly Switch[];
  /** Steps below this one have been served to a rank, or were told to be done: their version is for ever. */
  readonly begun: number;
  /** The newest step at which negatives are due and a complete checkpoint is there; 0 before the first. */
  readonly reached: number;
  /** The step whose checkpoint is at work; null while nobody mines. */
  readonly mining: number | null;
  /** Mined and durable; the entry of the journal is on its way. */
  readonly announcing: Switch | null;
}

export type RefreshEvent =
  /** A rank was served a step. */
  | { readonly type: "served"; readonly step: number }
  /** A checkpoint is complete. */
  | { readonly type: "checkpoint"; readonly step: number }
  /** The data of the version at work is durable; it may come of a later checkpoint than the one that was asked for. */
  | { readonly type: "mined"; readonly fromStep: number }
  /** The entry of the journal is durable. */
  | { readonly type: "announced" };

export type RefreshAction =
  | { readonly type: "mine"; readonly version: number; readonly step: number }
  | { readonly type: "announce"; readonly next: Switch };

/** A state and what it asks for. */
export interface Transition {
  readonly state: RefreshState;
  readonly actions: readonly RefreshAction[];
}

/**
 * Where a process begins.
 *
 * @param begun steps that an earlier process told to be done
 */
export function initialState(switches: readonly Switch[], begun: number): RefreshState {
  return { switches, begun, reached: 0, mining: null, announcing: null };
}

/**
 * The version that a step learns from, or null while nobody can know: then whoever asks has to wait. What was once
 * answered is answered for ever.
 */
export function admit(rules: RefreshRules, { switches, announcing }: RefreshState, step: number): number | null {
  const version = versionAt(switches, step);
  const last = switches.at(-1);
  if (last !== undefined && step < last.atStep) return version;
  if (rules.switchAfterSteps !== "ready") return version >= versionsBy(rules, step) ? version : null;
  if (announcing !== null && step >= announcing.atStep) return null;
  if (rules.maxStaleness === null) return version;
  // What the experiment names counts as mined by the model before its first step.
  return step - (last?.fromStep ?? 0) <= rules.maxStaleness ? version : null;
}

/** Whether the checkpoint of a step has to mine, now or later. */
export function isDue(rules: RefreshRules, { switches }: RefreshState, step: number): boolean {
  const { everySteps, switchAfterSteps, maxSteps } = rules;
  if (step === 0 || step % everySteps !== 0) return false;
  if (switchAfterSteps === "ready") return step > (switches.at(-1)?.fromStep ?? 0) && step < maxSteps;
  return step / everySteps > switches.length && step + switchAfterSteps < maxSteps;
}

/** The state after an event, and what is to be done. */
export function advance(rules: RefreshRules, state: RefreshState, event: RefreshEvent): Transition {
  switch (event.type) {
    case "served":
      return { state: { ...state, begun: Math.max(state.begun, event.step + 1) }, actions: [] };
    case "checkpoint": {
      const reached = Math.floor(event.step / rules.everySteps) * rules.everySteps;
      return begin(rules, { ...state, reached: Math.max(state.reached, reached) });
    }
    case "mined": {
      const version = state.switches.length + 1;
      const { switchAfterSteps: after } = rules;
      const atStep =
        after === "ready"
          ? Math.max(state.begun, event.fromStep, state.switches.at(-1)?.atStep ?? 0)
          : switchStep(rules.everySteps, after, version);
      const next = { version, fromStep: event.fromStep, atStep };
      // Too late for any step: nobody will learn from it.
      if (atStep >= rules.maxSteps) return { state: { ...state, mining: null }, actions: [] };
      return { state: { ...state, mining: null, announcing: next }, actions: [{ type: "announce", next }] };
    }
    case "announced": {
      if (state.announcing === null) return { state, actions: [] };
      return begin(rules, { ...state, switches: [...state.switches, state.announcing], announcing: null });
    }
  }
}

/** Begins to mine when negatives are due and nobody is at it. */
function begin(rules: RefreshRules, state: RefreshState): Transition {
  const step = dueStep(rules, state);
  if (step === null || state.mining !== null || state.announcing !== null) return { state, actions: [] };
  const version = state.switches.length + 1;
  return { state: { ...state, mining: step }, actions: [{ type: "mine", version, step }] };
}

/** The step whose checkpoint has to mine next, or null while there is none. */
function dueStep({ everySteps, switchAfterSteps, maxSteps }: RefreshRules, state: RefreshState): number | null {
  if (switchAfterSteps === "ready") {
    // Of several that were passed while one was at work, only the newest is of use.
    const isNew = state.reached > (state.switches.at(-1)?.fromStep ?? 0);
    return isNew && Math.max(state.reached, state.begun) < maxSteps ? state.reached : null;
  }
  const version = state.switches.length + 1;
  const step = version * everySteps;
  return step <= state.reached && switchStep(everySteps, switchAfterSteps, version) < maxSteps ? step : null;
}

/** Versions that must be there before a step can be served, where switches happen at fixed steps. */
function versionsBy({ everySteps, switchAfterSteps }: RefreshRules, step: number): number {
  const after = switchAfterSteps as number;
  return Math.max(0, Math.floor((step - after) / everySteps));
}

function switchStep(everySteps: number, after: number, version: number): number {
  return version * everySteps + after;
}
