/** Which ranks of the present generation have said hello; pure, so that restarts are tested without processes. */
import type { UpMessage } from "../protocol/messages.js";

type Hello = Extract<UpMessage, { type: "hello" }>;

/** A rank that said hello. */
export interface RankPeer {
  readonly rank: number;
  /** Its name on the wire. */
  readonly peer: string;
  readonly pid: number;
  readonly device: string;
}

/** The ranks that torchrun started together; each restart is a new generation. */
export interface Generation {
  /** -1 before the first hello. */
  readonly number: number;
  readonly ranks: ReadonlyMap<number, RankPeer>;
}

export const noGeneration: Generation = { number: -1, ranks: new Map() };

/** What a hello changes. */
export type Greeting =
  | { readonly kind: "refused"; readonly reason: string }
  /** `isNew`: earlier ranks are gone. `isComplete`: all ranks are here. */
  | {
      readonly kind: "accepted";
      readonly generation: Generation;
      readonly isNew: boolean;
      readonly isComplete: boolean;
    };

/** Takes a rank's hello into the present generation, or begins the next one. */
export function greet(present: Generation, peer: string, hello: Hello, worldSize: number): Greeting {
  const found = /^rank-(\d+)\.(\d+)$/.exec(hello.name);
  if (hello.role !== "rank" || found === null)
    return { kind: "refused", reason: "Only training ranks are expected here." };
  if (hello.worldSize !== worldSize || hello.rank >= worldSize || hello.rank !== Number(found[1])) {
    return {
      kind: "refused",
      reason: `Rank ${hello.rank} of ${hello.worldSize} (${hello.name}) does not belong to a training of ${worldSize} rank(s).`,
    };
  }
  const number = Number(found[2]);
  if (number < present.number)
    return { kind: "refused", reason: "This rank belongs to an earlier start of the training." };
  const isNew = number > present.number;
  const ranks = new Map(isNew ? [] : present.ranks);
  const known = ranks.get(hello.rank);
  if (known !== undefined && known.peer !== peer) {
    return { kind: "refused", reason: `Rank ${hello.rank} is already here as process ${known.pid}.` };
  }
  ranks.set(hello.rank, { rank: hello.rank, peer, pid: hello.pid, device: hello.device });
  return { kind: "accepted", generation: { number, ranks }, isNew, isComplete: ranks.size === worldSize };
}

/** The rank behind a name on the wire, if it is of the present generation. */
export function rankOf(present: Generation, peer: string): RankPeer | null {
  for (const rank of present.ranks.values()) if (rank.peer === peer) return rank;
  return null;
}
