/** Files for workers on other machines: what is offered, what is read, and what never is. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type ListedFile, ModelFiles } from "../../../src/pool/model-files.js";
import { Supply } from "../../../src/pool/supply.js";
import type { DownMessage, Task, Unversioned } from "../../../src/protocol/messages.js";
import { fakeModel, until } from "../../fixtures/fake-pool.js";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "quarry-test-files-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const write = (path: string, content: string | Uint8Array): void => writeFileSync(join(folder, path), content);
const listed = async (files: ModelFiles): Promise<readonly ListedFile[] | undefined> =>
  (await files.announce("far.0", [folder]))[0]?.files;
const sha256 = (content: string): string => createHash("sha256").update(content).digest("hex");

test("weights, configuration and tokenizer are offered; code, pickles and other checkpoints are not", async () => {
  for (const name of ["config.json", "model.safetensors", "vocab.txt", "spiece.model", "tokenizer.json"])
    write(name, name);
  for (const name of ["modeling.py", "pytorch_model.bin", "optimizer.pt", "training_args.bin", "README.md"])
    write(name, name);
  for (const name of ["1_Pooling", "checkpoint-10", ".cache", "odd.json"]) mkdirSync(join(folder, name));
  for (const name of ["1_Pooling", "checkpoint-10", ".cache"]) write(join(name, "config.json"), name);
  symlinkSync(join(folder, "1_Pooling", "config.json"), join(folder, "linked.json"));
  const files = await listed(new ModelFiles());
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
  expect(await new ModelFiles().announce("far.0", ["sentence-transformers/all-MiniLM-L6-v2"])).toEqual([]);
});

test("pieces of at most 4 MiB make up the file", async () => {
  const content = new Uint8Array(9_000_000).map((_, index) => index % 251);
  write("model.safetensors", content);
  const files = new ModelFiles();
  await files.announce("far.0", [folder]);
  const pieces: Uint8Array[] = [];
  for (let offset = 0; ; offset += pieces.at(-1)?.byteLength ?? 0) {
    const piece = await files.piece("far.0", folder, "model.safetensors", offset);
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
  await files.announce("far.0", [folder]);
  for (const path of ["secret.py", "../config.json", "./config.json", join(folder, "config.json"), "/etc/passwd"]) {
    expect(await files.piece("far.0", folder, path, 0), path).toBeNull();
  }
  expect(await files.piece("far.1", folder, "config.json", 0)).toBeNull();
  files.forget("far.0");
  expect(await files.piece("far.0", folder, "config.json", 0)).toBeNull();
});

test("a file that changed gets another hash; the others keep theirs", async () => {
  write("config.json", "old");
  write("vocab.txt", "same");
  const files = new ModelFiles();
  const before = await listed(files);
  write("config.json", "newer");
  const after = await listed(files);
  expect(after?.[0]).toEqual({ path: "config.json", bytes: 5, sha256: sha256("newer") });
  expect(after?.[1]).toEqual(before?.[1]);
});

test("the models that adapters were made for are offered too, under the names that the adapters have for them", async () => {
  for (const name of ["beside", "anywhere", "queries", "both", "both/0_Own", "both/1_Whole"]) {
    mkdirSync(join(folder, name));
    write(join(name, "tokenizer.json"), name);
  }
  const adapter = (place: string, base: unknown): void =>
    write(join(place, "adapter_config.json"), JSON.stringify({ base_model_name_or_path: base }));
  adapter("both", "../beside");
  adapter("both/0_Own", join(folder, "anywhere"));
  // On the hub, or not to be made sense of: the worker's own affair.
  adapter("both/1_Whole", "org/name");
  write("queries/adapter_config.json", "{broken");
  const files = new ModelFiles();
  const [both, queries, anywhere] = ["both", "queries", "anywhere"].map((name) => join(folder, name));
  const announced = await files.announce("far.0", [both as string, queries as string]);
  expect(announced.map(({ checkpoint }) => checkpoint)).toEqual([both, anywhere, "../beside", queries]);
  const tokens = await files.piece("far.0", "../beside", "tokenizer.json", 0);
  expect(Buffer.from(tokens ?? []).toString()).toBe("beside");
  expect(await files.piece("far.0", join(folder, "beside"), "tokenizer.json", 0)).toBeNull();
});

test("whoever may not see this disk gets every folder of a model before the task, others the task alone", async () => {
  for (const name of ["adapter", "base", "queries"]) {
    mkdirSync(join(folder, name));
    write(join(name, "tokenizer.json"), name);
  }
  write("adapter/adapter_config.json", JSON.stringify({ base_model_name_or_path: "../base" }));
  const [checkpoint, queryCheckpoint] = [join(folder, "adapter"), join(folder, "queries")];
  const model = { ...fakeModel, checkpoint, queryCheckpoint };
  const task: Task = { kind: "encode", model, side: "passage", batchSize: 1, vectorDtype: "float32" };
  const sent: [string, Unversioned<DownMessage>][] = [];
  const supply = new Supply(() => ({
    send: (worker, message) => sent.push([worker, message]),
    kill: (_worker, reason) => expect.unreachable(reason),
  }));
  supply.add("far.0");
  for (const worker of ["near.0", "far.0"]) supply.configure(worker, task, () => true);
  await until(() => sent.length === 5);
  const told = sent.map(([worker, message]) => [worker, message.type === "files" ? message.checkpoint : message.type]);
  expect(told).toEqual([
    ["near.0", "configure"],
    ...[checkpoint, "../base", queryCheckpoint, "configure"].map((each) => ["far.0", each]),
  ]);
});
