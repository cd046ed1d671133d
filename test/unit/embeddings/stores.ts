/** What the tests of the store share: a model, texts with keys, vectors that tell which text they are of. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { tableFromIPC } from "apache-arrow";
import { buildingName } from "../../../src/data/cache/builders.js";
import { readingOrder } from "../../../src/embeddings/encode-plan.js";
import { EmbeddingStore } from "../../../src/embeddings/store.js";
import type { KeptPlaces } from "../../../src/embeddings/stored-places.js";
import { KEY_WORDS, type TextKeys } from "../../../src/embeddings/text-keys.js";
import type { VectorBlock, VectorDtype, VectorModel } from "../../../src/embeddings/types.js";
import { type VectorUnits, VectorView } from "../../../src/embeddings/vector-view.js";

export const DIMENSION = 5;

export const contract: VectorModel["contract"] = {
  checkpoint: "tiny",
  architecture: "Tiny",
  dimension: DIMENSION,
  pooling: "mean",
  normalize: true,
  similarity: "cosine",
  queryPrompt: "",
  passagePrompt: "",
  queryMaxLength: 8,
  passageMaxLength: 8,
  paddingSide: "right",
  dtype: "float32",
  parameterCount: 1,
  revision: null,
  fingerprint: "a".repeat(64),
};

/** Keys of the texts with these numbers; spread over all words, as those of a hash are. */
export function keysOf(texts: readonly number[]): TextKeys {
  const keys = Int32Array.from(
    texts.flatMap((text) =>
      Array.from({ length: KEY_WORDS }, (_, word) => Math.imul(text + 1, 0x9e3779b1 + word * 77)),
    ),
  );
  return { keys, lengths: Int32Array.from(texts, (text) => 10 + ((text * 7) % 13)) };
}

/** Bytes that only the vector of this text has. */
function vectorBytes(text: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (text * 31 + at * 7 + (text >> 8)) & 0x3f);
}

export function blockOf(texts: readonly number[], dtype: VectorDtype): VectorBlock {
  const rowBytes = DIMENSION * { float32: 4, float16: 2, bfloat16: 2, int8: 1 }[dtype];
  return {
    bytes: Buffer.concat(texts.map((text) => vectorBytes(text, rowBytes))),
    scales: dtype === "int8" ? Float32Array.from(texts, (text) => text / 8) : null,
  };
}

export function openStore(cacheDir: string, dtype: VectorDtype = "float32", warnings: string[] = []) {
  return EmbeddingStore.open(cacheDir, { contract, side: "passage", dtype }, (message) => warnings.push(message));
}

/** Places of texts that the store has, and the order in which a search reads them. */
export function placesOf(store: EmbeddingStore, texts: readonly number[]): KeptPlaces {
  const keys = keysOf(texts);
  const places = store.find(keys);
  return { ...places, order: readingOrder(keys.lengths, places) };
}

/** Texts of these that the store has, each read and compared with what it must be. */
export function readBack(store: EmbeddingStore, texts: readonly number[]): number[] {
  const places = store.find(keysOf(texts));
  const found = texts.filter((_, at) => (places.rows[at] as number) >= 0);
  const view = new VectorView(store, Int32Array.from(found), placesOf(store, found));
  const { bytes, scales } = view.read(0, found.length);
  const expected = blockOf(found, store.dtype);
  if (Buffer.compare(bytes, expected.bytes) !== 0) throw new Error("the store gave other vectors than it was given");
  if (scales !== null && scales.some((scale, at) => scale !== expected.scales?.[at])) throw new Error("other scales");
  const units = view.units(Int32Array.from(found), "vectors");
  for (let unit = 0; unit < units.count; unit += 1) {
    const placed = blockOf([...units.rows(unit)], store.dtype);
    const seen = readPlaced(units, unit, store.vectorBytes);
    if (Buffer.compare(seen.bytes, placed.bytes) !== 0) throw new Error("a unit names other places");
    if (placed.scales !== null && Buffer.compare(seen.scales, new Uint8Array(placed.scales.buffer)) !== 0) {
      throw new Error("a unit names other places of scales");
    }
  }
  return found;
}

/** What lies at the places that a unit names, as a worker reads it. */
export function readPlaced(units: VectorUnits, unit: number, vectorBytes: number): { bytes: Buffer; scales: Buffer } {
  const { placed } = units;
  if (placed === undefined) throw new Error("no unit names places");
  const table = tableFromIPC(placed.frame(unit));
  const files = placed.files.map((path) => readFileSync(path));
  const column = (name: string): number[] => [...(table.getChild(name) ?? [])];
  const numbers = column("file");
  const read = (offsets: readonly number[], length: number): Buffer =>
    Buffer.concat(
      offsets.map((offset, at) => files[numbers[at] as number]?.subarray(offset, offset + length) as Buffer),
    );
  return { bytes: read(column("offset"), vectorBytes), scales: read(column("scaleOffset"), 4) };
}

/** A name under which nobody works any more. */
export function abandonedName(): string {
  return buildingName().replace(/-(\d+)-([0-9a-f]{16})$/, "-1-$2");
}

/** The one folder of work in progress, renamed as if its process had been killed. */
export function abandon(store: EmbeddingStore): string {
  const name = readdirSync(store.folder).find((each) => each.startsWith(".building-"));
  if (name === undefined) throw new Error("nobody is at work");
  const left = join(store.folder, abandonedName());
  renameSync(join(store.folder, name), left);
  return left;
}

/** Copies a flat folder. */
export function copyFolder(from: string, to: string): void {
  mkdirSync(to);
  for (const name of readdirSync(from)) copyFileSync(join(from, name), join(to, name));
}
