/** Files for workers on other machines: what is offered, what is read, and what never is. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ModelFiles } from "../../../src/pool/model-files.js";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "quarry-test-files-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const write = (path: string, content: string | Uint8Array): void => writeFileSync(join(folder, path), content);
const sha256 = (content: string): string => createHash("sha256").update(content).digest("hex");

test("weights, configuration and tokenizer are offered; code, pickles and other checkpoints are not", async () => {
  for (const name of ["config.json", "model.safetensors", "vocab.txt", "spiece.model", "tokenizer.json"])
    write(name, name);
  for (const name of ["modeling.py", "pytorch_model.bin", "optimizer.pt", "training_args.bin", "README.md"])
    write(name, name);
  for (const name of ["1_Pooling", "checkpoint-10", ".cache", "odd.json"]) mkdirSync(join(folder, name));
  for (const name of ["1_Pooling", "checkpoint-10", ".cache"]) write(join(name, "config.json"), name);
  symlinkSync(join(folder, "1_Pooling", "config.json"), join(folder, "linked.json"));
  const files = await new ModelFiles().announce("far.0", folder);
  expect(files?.map(({ path }) => path)).toEqual([
    "1_Pooling/config.json",
    "config.json",
    "linked.json",
    "model.safetensors",
    "spiece.model",
    "tokenizer.json",
    "vocab.txt",
  ]);
  expect(files?.[1]).toEqual({ path: "config.json", bytes: 11, sha256: sha256("config.json") });
});

test("a model that is no folder here is the worker's own affair", async () => {
  expect(await new ModelFiles().announce("far.0", "sentence-transformers/all-MiniLM-L6-v2")).toBeNull();
});

test("pieces of at most 4 MiB make up the file", async () => {
  const content = new Uint8Array(9_000_000).map((_, index) => index % 251);
  write("model.safetensors", content);
  const files = new ModelFiles();
  await files.announce("far.0", folder);
  const pieces: Uint8Array[] = [];
  for (let offset = 0; ; offset += pieces.at(-1)?.byteLength ?? 0) {
    const piece = await files.piece("far.0", "model.safetensors", offset);
    if (piece === null || piece.byteLength === 0) break;
    pieces.push(piece);
  }
  expect(pieces.map(({ byteLength }) => byteLength)).toEqual([4_194_304, 4_194_304, 611_392]);
  expect(Buffer.concat(pieces).equals(content)).toBe(true);
});

test("nothing is read that was not offered to this very worker", async () => {
  write("config.json", "{}");
  write("secret.py", "no");
  const files = new ModelFiles();
  await files.announce("far.0", folder);
  for (const path of ["secret.py", "../config.json", "./config.json", join(folder, "config.json"), "/etc/passwd"]) {
    expect(await files.piece("far.0", path, 0), path).toBeNull();
  }
  expect(await files.piece("far.1", "config.json", 0)).toBeNull();
  files.forget("far.0");
  expect(await files.piece("far.0", "config.json", 0)).toBeNull();
});

test("a file that changed gets another hash; the others keep theirs", async () => {
  write("config.json", "old");
  write("vocab.txt", "same");
  const files = new ModelFiles();
  const before = await files.announce("far.0", folder);
  write("config.json", "newer");
  const after = await files.announce("far.0", folder);
  expect(after?.[0]).toEqual({ path: "config.json", bytes: 5, sha256: sha256("newer") });
  expect(after?.[1]).toEqual(before?.[1]);
});
