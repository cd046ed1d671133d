/** A file's digest is that of its bytes, however many pieces it is read in. */
import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { fileDigest } from "../../src/file-digest.js";

test("a file of several pieces and an empty one have the digests of their bytes", async () => {
  const folder = await mkdtemp(join(tmpdir(), "quarry-digest-"));
  try {
    for (const bytes of [Buffer.alloc(0), Buffer.alloc(2_500_000, "quarry")]) {
      await writeFile(join(folder, "file"), bytes);
      expect(await fileDigest(join(folder, "file"))).toBe(createHash("sha256").update(bytes).digest("hex"));
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
