/** Durable running top-k of every worker's life, so that a killed search goes on with the units that are missing. */
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import type { Snapshot } from "../pool/types.js";
import { writeFileDurably } from "../rundir/durable.js";
import { mergeTopK, type TopK } from "./top-k.js";

const MAGIC = "QTOPK001";
const PREFIX_BYTES = 16;

interface Header {
  /** Everything that determines the scores; a file with another key is of another search. */
  readonly key: string;
  readonly queryCount: number;
  readonly topK: number;
  readonly units: readonly number[];
}

/** The snapshots of one search in one folder: a file per session, each written whole and replaced by rename. */
export class SnapshotStore {
  readonly #parts = new Map<string, { units: readonly number[]; scores: Float32Array; rows: Int32Array }>();
  /** Names of files of this process never meet those of an earlier one. */
  #generation = 0;

  private constructor(
    private readonly folder: string,
    private readonly key: string,
    private readonly queryCount: number,
    private readonly topK: number,
  ) {}

  /** Opens the folder and reads what earlier processes left; damaged files and files of another search are removed. */
  static async open(folder: string, key: string, queryCount: number, topK: number): Promise<SnapshotStore> {
    const store = new SnapshotStore(folder, key, queryCount, topK);
    await mkdir(folder, { recursive: true });
    for (const file of (await readdir(folder)).sort()) {
      const generation = Number(/^g(\d+)-/.exec(file)?.[1] ?? 0);
      store.#generation = Math.max(store.#generation, generation);
      const part = decode(await readFile(join(folder, file)), key, queryCount, topK);
      if (part === null) await rm(join(folder, file), { force: true });
      else store.#parts.set(file, part);
    }
    store.#generation += 1;
    return store;
  }

  /** Numbers of the units that need no more work. */
  get doneUnits(): Set<number> {
    return new Set([...this.#parts.values()].flatMap((part) => part.units));
  }

  /** Writes a session's snapshot in place of its earlier one; durable when the promise resolves. */
  async put(snapshot: Snapshot): Promise<void> {
    const file = `g${this.#generation}-${snapshot.session.replace(/[^\w.-]/g, "_")}.topk`;
    const header: Header = { key: this.key, queryCount: this.queryCount, topK: this.topK, units: snapshot.units };
    await writeFileDurably(join(this.folder, file), encode(header, snapshot.scores, snapshot.rows));
    this.#parts.set(file, { units: snapshot.units, scores: snapshot.scores, rows: snapshot.rows });
  }

  merge(idRanks: Int32Array): TopK {
    return mergeTopK([...this.#parts.values()], this.queryCount, this.topK, idRanks);
  }
}

function bytesOf(array: Float32Array | Int32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function encode(header: Header, scores: Float32Array, rows: Int32Array): Uint8Array {
  const json = Buffer.from(JSON.stringify(header));
  const out = Buffer.alloc(PREFIX_BYTES + json.length + scores.byteLength + rows.byteLength);
  out.write(MAGIC, 0, "latin1");
  out.writeUInt32LE(json.length, 12);
  let at = PREFIX_BYTES;
  for (const part of [json, bytesOf(scores), bytesOf(rows)]) {
    out.set(part, at);
    at += part.length;
  }
  // The checksum lies before what it covers; rename keeps half files away, this catches flipped bits.
  out.writeUInt32LE(crc32(out.subarray(12)), 8);
  return out;
}

function decode(
  bytes: Buffer,
  key: string,
  queryCount: number,
  topK: number,
): { units: readonly number[]; scores: Float32Array; rows: Int32Array } | null {
  if (bytes.length < PREFIX_BYTES || bytes.toString("latin1", 0, 8) !== MAGIC) return null;
  if (crc32(bytes.subarray(12)) !== bytes.readUInt32LE(8)) return null;
  const jsonEnd = PREFIX_BYTES + bytes.readUInt32LE(12);
  const header = JSON.parse(bytes.toString("utf8", PREFIX_BYTES, jsonEnd)) as Header;
  if (header.key !== key || header.queryCount !== queryCount || header.topK !== topK) return null;
  const size = queryCount * topK * 4;
  // Copies, because a JSON header of any length leaves the numbers unaligned.
  const scores = new Float32Array(bytes.buffer.slice(bytes.byteOffset + jsonEnd, bytes.byteOffset + jsonEnd + size));
  const rows = new Int32Array(
    bytes.buffer.slice(bytes.byteOffset + jsonEnd + size, bytes.byteOffset + jsonEnd + 2 * size),
  );
  return { units: header.units, scores, rows };
}
