/** What is done when the process ends costs one listener, however many runs go on in it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { onExit } from "../../src/exit.js";
import { openTransport } from "../../src/pool/transport.js";
import { openRunDir } from "../../src/rundir/directory.js";

const listeners = () => process.listeners("exit") as (() => void)[];

test("a dozen runs at once add one listener to the process, and none once they are over", async () => {
  const root = await mkdtemp(join(tmpdir(), "quarry-exit-"));
  const before = listeners();
  const names = Array.from({ length: 12 }, (_, index) => `run-${index}`);
  const runs = await Promise.all(names.map((name) => openRunDir({ path: join(root, name), config: { name } })));
  const transports = await Promise.all(names.map(() => openTransport({ onMessage: () => {}, onViolation: () => {} })));
  expect(listeners().length - before.length).toBeLessThanOrEqual(1);
  await Promise.all([...runs, ...transports].map((each) => each.close()));
  expect(listeners()).toEqual(before);
  await rm(root, { recursive: true });
});

test("all are called back, also after one that throws, but for those that were taken off", () => {
  const called: string[] = [];
  const removals = [
    onExit(() => {
      called.push("one");
      throw new Error("no right to remove it");
    }),
    onExit(() => called.push("other")),
  ];
  onExit(() => called.push("gone"))();
  listeners().find(({ name }) => name === "callAll")?.();
  expect(called).toEqual(["one", "other"]);
  for (const remove of removals) remove();
});
