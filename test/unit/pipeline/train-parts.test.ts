/** What a training has opened is closed, whatever goes wrong with one part of it. */
import { expect, test } from "vitest";
import { closeAll } from "../../../src/pipeline/train-parts.js";

test("a part that cannot be closed keeps none of the others open, and the first failure is told", async () => {
  const log: string[] = [];
  const part = (name: string, failure?: string) => ({
    close: async () => {
      log.push(name);
      if (failure !== undefined) throw new Error(failure);
    },
  });
  const closed = closeAll([part("evaluation"), null, part("record", "the disk is full"), part("batches", "and again")]);
  await expect(closed).rejects.toThrow("the disk is full");
  expect(log).toEqual(["evaluation", "record", "batches"]);
});
