/** Which ranks of the present generation have said hello; pure, so that restarts are tested without processes. */
import { counted } from "../counted.js";
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
  /** Counts starts; -1 before the first hello. */
  readonly number: number;
  /** What its ranks call it; those of earlier starts are in `earlier`. */
  readonly id: string;
  readonly earlier: ReadonlySet<string>;
  /** Ranks that it has; another start may have more or fewer, where machines come and go. */
  readonly worldSize: number;
  readonly ranks: ReadonlyMap<number, RankPeer>;
}

export const noGeneration: Generation = { number: -1, id: "", earlier: new Set(), worldSize: 0, ranks: new Map() };

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

/**
 * Takes a rank's hello into the present generation, or begins the next one.
 *
 * @param worldSizes how many ranks a start may have
 */
export function greet(present: Generation, peer: string, hello: Hello, worldSizes: readonly number[]): Greeting {
  const [, number, id = ""] = /^rank-(\d+)\.(\d+)$/.exec(hello.name) ?? [];
  if (hello.role !== "rank" || number === undefined)
    return { kind: "refused", reason: "Only training ranks are expected here." };
  const { rank, worldSize, pid, device } = hello;
  const isNew = id !== present.id;
  const isFitting = isNew ? worldSizes.includes(worldSize) : worldSize === present.worldSize;
  if (!isFitting || rank >= worldSize || rank !== Number(number)) {
    const sizes = isNew ? worldSizes : [present.worldSize];
    const expected = sizes.map((size) => counted(size, "ranks")).join(" or ");
    return {
      kind: "refused",
      reason: `Rank ${rank} of ${worldSize} (${hello.name}) does not belong to a training of ${expected}.`,
    };
  }
  if (present.earlier.has(id))
    return { kind: "refused", reason: "This rank belongs to an earlier start of the training." };
  const ranks = new Map(isNew ? [] : present.ranks);
  const known = ranks.get(rank);
  if (known !== undefined && known.peer !== peer) {
    return { kind: "refused", reason: `Rank ${rank} is already here as process ${known.pid}.` };
  }
  ranks.set(rank, { rank, peer, pid, device });
  const generation = isNew
    ? { number: present.number + 1, id, earlier: new Set([...present.earlier, present.id]), worldSize, ranks }
    : { ...present, ranks };
  return { kind: "accepted", generation, isNew, isComplete: ranks.size === worldSize };
}

/** The rank behind a name on the wire, if it is of the present generation. */
export function rankOf(present: Generation, peer: string): RankPeer | null {
  for (const rank of present.ranks.values()) if (rank.peer === peer) return rank;
  return null;
}
