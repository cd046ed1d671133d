/** Pruning what models left in the cache, by several at once, and by one that is killed. */
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, expect, test } from "vitest";
import { pruneSeen } from "../../../src/data/index.js";
import { lookAtEmbeddings } from "../../../src/embeddings/index.js";
import { listCache, pruneCache } from "../../../src/pipeline/cache.js";
import { lookAtReceived } from "../../../src/pipeline/received-models.js";
import { abandonedName } from "../embeddings/stores.js";

let cache: string;
let model: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "quarry-cache-"));
  model = join(cache, "embeddings", "a".repeat(32));
  mkdirSync(model, { recursive: true });
  writeFileSync(join(model, "places.bin"), "12345");
});
afterEach(() => rmSync(cache, { recursive: true }));

const isAllRemoved = true;

test("of two who prune at once one removes an entry, and neither fails", async () => {
  const seen = lookAtEmbeddings(cache);
  expect((await pruneCache(cache, { isAllRemoved })).removed).toMatchObject([{ kind: "embeddings", bytes: 5 }]);
  expect(pruneSeen(seen, { isAllRemoved }).removed).toEqual([]);
  expect(readdirSync(join(cache, "embeddings"))).toEqual([]);
});

test("vectors that somebody begins to add to since they were looked at stay", () => {
  const seen = lookAtEmbeddings(cache);
  mkdirSync(join(model, "begun"));
  expect(pruneSeen(seen, { isAllRemoved }).removed).toEqual([]);
  expect(readdirSync(model).sort()).toEqual(["begun", "places.bin"]);
});

test("a model that a worker takes since it was looked at stays", async () => {
  const received = join(cache, "models", "b".repeat(64));
  mkdirSync(received, { recursive: true });
  writeFileSync(join(received, ".use"), "checkpoint-4");
  const seen = lookAtReceived(cache);
  expect(seen).toMatchObject([{ entry: { kind: "models", state: "complete", sources: ["checkpoint-4"] } }]);
  const worker = execa("sh", ["-c", 'exec flock --shared "$0" cat', join(received, ".use")], { reject: false });
  worker.stdin.write("here");
  await once(worker.stdout, "data");
  expect(pruneSeen(seen, { isAllRemoved }).removed).toEqual([]);
  expect(lookAtReceived(cache)).toMatchObject([{ entry: { state: "building" } }]);
  worker.stdin.end();
  await worker;
  expect(pruneSeen(lookAtReceived(cache), { isAllRemoved }).removed).toHaveLength(1);
  expect(readdirSync(join(cache, "models"))).toEqual([]);
});

test("a misspelt kind is refused with the kinds there are, before anything is removed", async () => {
  await expect(pruneCache(cache, { isAllRemoved, kinds: ["embedding"] })).rejects.toMatchObject({
    code: "CONFIG",
    message: '"embedding" is no kind of entry that can be pruned.',
    hint: "Did you mean embeddings? Kinds are texts, qrels, subset, relations, keys, embeddings, pair-scores, models, unfinished.",
  });
  expect((await pruneCache(cache, { isAllRemoved, kinds: ["texts"] })).removed).toEqual([]);
  expect((await pruneCache(cache, { isAllRemoved, kinds: ["embeddings"] })).removed).toHaveLength(1);
});

test("what a prune that was killed left is listed, and goes with the next one", async () => {
  renameSync(model, join(cache, "embeddings", abandonedName()));
  expect(await listCache(cache)).toMatchObject([{ kind: "unfinished", state: "unfinished", bytes: 5 }]);
  expect((await pruneCache(cache)).removedBytes).toBe(5);
  expect(readdirSync(join(cache, "embeddings"))).toEqual([]);
});
