/** Durable running top-k of every worker's life, so that a killed search goes on with the units that are missing. */
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Snapshot } from "../pool/types.js";
import { bodyOf, checkedBytes } from "../rundir/checked-bytes.js";
import { writeFileDurably } from "../rundir/durable.js";
import { mergeTopK } from "./top-k.js";

const MAGIC = "QTOPK002";

/** Which search snapshots are of. */
export interface SearchIdentity {
  /** Everything that determines the scores; a file with another key is of another search. */
  readonly key: string;
  readonly queryCount: number;
  readonly topK: number;
  /** Pairs whose scores are wanted wherever they rank. */
  readonly trackedCount: number;
}

interface Header extends SearchIdentity {
  readonly units: readonly number[];
}

type Part = Omit<Snapshot, "session">;

/**
 * The snapshots of one search in one folder: a file per session, each written whole and replaced by rename. Those of
 * sessions that are over become one file; it may stand beside them after a kill, for what two files say counts once.
 */
export class SnapshotStore {
  readonly #parts = new Map<string, Part>();
  /** Names of files of this process never meet those of an earlier one. */
  #generation = 0;

  private constructor(
    private readonly folder: string,
    private readonly search: SearchIdentity,
    private readonly idRanks: Int32Array,
  ) {}

  /**
   * Opens the folder and reads what earlier processes left, and merges it; damaged files and files of another search are
   * removed.
   *
   * @param idRanks rank of each passage's id, [passageCount]
   */
  static async open(folder: string, search: SearchIdentity, idRanks: Int32Array): Promise<SnapshotStore> {
    const store = new SnapshotStore(folder, search, idRanks);
    await mkdir(folder, { recursive: true });
    // Tiles of the search lie in folders of their own.
    const entries = await readdir(folder, { withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
    for (const file of files.sort()) {
      const generation = Number(/^g(\d+)-/.exec(file)?.[1] ?? 0);
      store.#generation = Math.max(store.#generation, generation);
      const part = decode(await readFile(join(folder, file)), search);
      if (part === null) await rm(join(folder, file), { force: true });
      else store.#parts.set(file, part);
    }
    store.#generation += 1;
    if (store.#parts.size > 1) await store.merge();
    return store;
  }

  /** Numbers of the units that need no more work. */
  get doneUnits(): Set<number> {
    return new Set([...this.#parts.values()].flatMap((part) => part.units));
  }

  /** Writes a session's snapshot in place of its earlier one; durable when the promise resolves. */
  async put(snapshot: Snapshot): Promise<void> {
    const { session, units, scores, rows, tracked } = snapshot;
    await this.#write(session.replace(/[^\w.-]/g, "_"), { units, scores, rows, tracked });
  }

  /** What all sessions found; none of them may go on. Their files become one, no bigger than each of them. */
  async merge(): Promise<Part> {
    const parts = [...this.#parts.values()];
    if (parts.length === 1) return parts[0] as Part;
    const { queryCount, topK } = this.search;
    const { scores, rows } = mergeTopK(parts, queryCount, topK, this.idRanks);
    const merged = { units: [...this.doneUnits], scores, rows, tracked: this.#tracked() };
    if (parts.length === 0) return merged;
    const files = [...this.#parts.keys()];
    const kept = await this.#write("merged", merged);
    for (const file of files) {
      if (file === kept) continue;
      await rm(join(this.folder, file), { force: true });
      this.#parts.delete(file);
    }
    return merged;
  }

  /** Writes a part in place of an earlier one of this process and of the same name; gives its file. */
  async #write(name: string, part: Part): Promise<string> {
    const file = `g${this.#generation}-${name}.topk`;
    await writeFileDurably(join(this.folder, file), encode({ ...this.search, units: part.units }, part));
    this.#parts.set(file, part);
    return file;
  }

  /** Scores of the tracked pairs, -Infinity for those that nobody saw; null without pairs. */
  #tracked(): Float32Array | null {
    const { trackedCount } = this.search;
    if (trackedCount === 0) return null;
    const scores = new Float32Array(trackedCount).fill(Number.NEGATIVE_INFINITY);
    for (const { tracked } of this.#parts.values()) {
      for (let at = 0; at < trackedCount; at++) scores[at] = Math.max(scores[at] as number, tracked?.[at] ?? -Infinity);
    }
    return scores;
  }
}

function encode(header: Header, { scores, rows, tracked }: Part): Uint8Array {
  const json = Buffer.from(JSON.stringify(header));
  return checkedBytes(MAGIC, Int32Array.of(json.length), json, scores, rows, tracked ?? new Float32Array(0));
}

function decode(bytes: Buffer, search: SearchIdentity): Part | null {
  const body = bodyOf(MAGIC, bytes);
  if (body === null) return null;
  const jsonEnd = 4 + body.readInt32LE(0);
  const header = JSON.parse(body.toString("utf8", 4, jsonEnd)) as Header;
  const { key, queryCount, topK, trackedCount } = search;
  if (header.key !== key || header.queryCount !== queryCount || header.topK !== topK) return null;
  if (header.trackedCount !== trackedCount) return null;
  const size = queryCount * topK * 4;
  // Copies, because a JSON header of any length leaves the numbers unaligned.
  const copy = (at: number, length: number): ArrayBuffer =>
    body.buffer.slice(body.byteOffset + at, body.byteOffset + at + length) as ArrayBuffer;
  return {
    units: header.units,
    scores: new Float32Array(copy(jsonEnd, size)),
    rows: new Int32Array(copy(jsonEnd + size, size)),
    tracked: trackedCount === 0 ? null : new Float32Array(copy(jsonEnd + 2 * size, trackedCount * 4)),
  };
}
