/** What can happen to a pool, and what its shell must do about it. */
import type { ErrorCode } from "../errors.js";
import type { DispatchAction } from "./dispatch.js";
import type { JobPlan } from "./state.js";

/** Everything that can happen to a pool. Units are numbers; `attempt` is the lease that is answered. */
export type PoolEvent =
  | { readonly type: "begin"; readonly plan: JobPlan }
  /** The job is over for the shell, however it ended. */
  | { readonly type: "end" }
  /** A stop on request: nothing new is given out, what is in hand may come in. */
  | { readonly type: "stop" }
  | { readonly type: "hello"; readonly worker: string }
  /** A worker came by itself, under a name that no other has. */
  | { readonly type: "joined"; readonly worker: string }
  /** It has to go, or was asked to: nothing new for it; it is let go once its results are here. */
  | { readonly type: "leaving"; readonly worker: string }
  | { readonly type: "ready"; readonly worker: string; readonly credits: number }
  | {
      readonly type: "answered";
      readonly worker: string;
      readonly unit: number;
      readonly attempt: number;
      readonly seconds: number;
    }
  | {
      readonly type: "snapshot";
      readonly worker: string;
      readonly units: readonly { readonly unit: number; readonly attempt: number }[];
    }
  | {
      readonly type: "failed";
      readonly worker: string;
      readonly unit: number;
      readonly attempt: number;
      readonly code: ErrorCode;
      readonly message: string;
      readonly isRetryable: boolean;
    }
  /** The results of these units, which came from this session, are durable. */
  | { readonly type: "durable"; readonly worker: string; readonly session: string; readonly units: readonly number[] }
  /**
   * It came by itself, and says that it cannot do the job. `isAnyoneExpected`: what was started elsewhere may still bring
   * another one.
   */
  | { readonly type: "unable"; readonly worker: string; readonly isAnyoneExpected: boolean }
  /** Every launcher has ended, and nobody starts workers by hand. */
  | { readonly type: "closed" }
  | { readonly type: "died"; readonly worker: string; readonly how: string };

/** What the shell must do. */
export type PoolAction =
  | DispatchAction
  | { readonly type: "launch"; readonly worker: string }
  | { readonly type: "configure"; readonly worker: string }
  /** It has nothing in hand and may go. */
  | { readonly type: "dismiss"; readonly worker: string }
  /** Make the answer that came with the event durable. */
  | { readonly type: "persistVectors"; readonly worker: string; readonly session: string; readonly unit: number }
  | {
      readonly type: "persistSnapshot";
      readonly worker: string;
      readonly session: string;
      /** Every unit of the session so far. */
      readonly covered: readonly number[];
      /** Those of them that are new. */
      readonly units: readonly number[];
    }
  /** The worker breaks the rules: end its process. */
  | { readonly type: "kill"; readonly worker: string; readonly reason: string }
  | { readonly type: "giveUp"; readonly unit: number; readonly code: ErrorCode; readonly message: string }
  /** A worker died; what it had comes back. */
  | {
      readonly type: "lost";
      readonly worker: string;
      readonly how: string;
      readonly inHand: readonly number[];
      readonly heldCount: number;
      /** Others take its place; its place stays empty after two such deaths; or it was about to go anyway. */
      readonly fate: "replaced" | "broken" | "gone" | "left";
    }
  | { readonly type: "fail"; readonly message: string }
  | { readonly type: "finished" };
