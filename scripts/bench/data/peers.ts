/** What the data benchmark measures of the peers: each peer in a Python process of its own, twice. */
import { mkdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { start } from "../shared/children.js";
import { folderBytes } from "./folders.js";

const PROCESS = fileURLToPath(new URL("peer_data.py", import.meta.url));
const LATER_RUNS = 3;

export const PEERS = ["trove", "tevatron", "dictionaries"] as const;
export type Peer = (typeof PEERS)[number];

/** What one peer reaches on one collection. */
export interface PeerFigures {
  readonly versions: Readonly<Record<string, string>>;
  readonly importSeconds: number;
  /** Without and with the process's start and its imports. */
  readonly firstRun: { readonly seconds: number; readonly withStart: number };
  readonly preparationPeakBytes: number;
  readonly diskBytes: number;
  /** Without and with the process's start and its imports. */
  readonly laterSeconds: { readonly best: number; readonly bestWithStart: number };
  /** In the first round, when most pages are touched for the first time, and in a second one as long. */
  readonly groupsPerSecond: { readonly first: number; readonly later: number };
  /** After random access, imports included. */
  readonly processBytes: number;
  readonly importBytes: number;
}

/** Measures a peer on one collection; `cache` is emptied first. */
export async function measurePeer(
  peer: Peer,
  place: { python: string; collection: string; cache: string; seconds: number },
): Promise<PeerFigures> {
  await rm(place.cache, { recursive: true, force: true });
  await mkdir(place.cache, { recursive: true });
  const first = await once(peer, { ...place, seconds: 0 });
  // A peer without a cache does the same each time.
  const later = [];
  for (let run = 1; run < LATER_RUNS; run += 1) later.push(await once(peer, { ...place, seconds: 0 }));
  const last = await once(peer, place);
  later.push(last);
  return {
    versions: first.versions,
    importSeconds: Math.min(...later.map((each) => each.importSeconds)),
    firstRun: { seconds: first.firstSeconds, withStart: first.wholeSeconds },
    preparationPeakBytes: first.peakBytes,
    diskBytes: await folderBytes(place.cache),
    laterSeconds: {
      best: Math.min(...later.map((each) => each.firstSeconds)),
      bestWithStart: Math.min(...later.map((each) => each.wholeSeconds)),
    },
    groupsPerSecond: { first: last.rates[0] as number, later: last.rates[1] as number },
    processBytes: last.processBytes,
    importBytes: last.importBytes,
  };
}

async function once(peer: Peer, place: { python: string; collection: string; cache: string; seconds: number }) {
  const child = start(place.python, [PROCESS, peer, place.collection, place.cache, String(place.seconds)]);
  const imported = await child.event("imported");
  const first = await child.event("first");
  const peakBytes = child.peakBytes();
  const done = await child.event("done");
  await child.finish();
  return {
    versions: imported.versions as Record<string, string>,
    importSeconds: Number(imported.seconds),
    importBytes: Number(imported.anonymousBytes),
    firstSeconds: Number(first.seconds),
    wholeSeconds: first.afterMs / 1_000,
    peakBytes,
    rates: done.rates as number[],
    processBytes: Number(done.anonymousBytes),
  };
}
