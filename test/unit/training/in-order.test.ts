/** Answers come in the order of the questions, whatever has to be waited for. */
import { expect, test } from "vitest";
import { InOrder } from "../../../src/training/in-order.js";

test("a value that is there at once waits for those before it, and for nobody else's", async () => {
  const used: string[] = [];
  const answers = new InOrder<number>(() => used.push("failed"));
  const use = (text: string): void => void used.push(text);
  let open: (text: string) => void = () => undefined;
  answers.answer(0, "a", use);
  answers.answer(0, new Promise<string>((resolve) => void (open = resolve)), use);
  answers.answer(0, "c", use);
  answers.answer(1, "other", use);
  expect(used).toEqual(["a", "other"]);
  expect(answers.isWaiting).toBe(true);
  open("b");
  await expect.poll(() => answers.isWaiting).toBe(false);
  expect(used).toEqual(["a", "other", "b", "c"]);
});

test("a value does not overtake the last of those before it while that one still waits", async () => {
  const used: string[] = [];
  const answers = new InOrder<number>(() => used.push("failed"));
  const use = (text: string): void => void used.push(text);
  const opens: ((text: string) => void)[] = [];
  for (const _ of "ab") answers.answer(0, new Promise<string>((resolve) => void opens.push(resolve)), use);
  opens[0]?.("a");
  await new Promise(setImmediate);
  answers.answer(0, "c", use);
  expect(used).toEqual(["a"]);
  opens[1]?.("b");
  await expect.poll(() => answers.isWaiting).toBe(false);
  expect(used).toEqual(["a", "b", "c"]);
});

test("a failure is told, and so is one of whoever uses the value", async () => {
  const failures: string[] = [];
  const answers = new InOrder<number>((thrown) => failures.push((thrown as Error).message));
  answers.answer(0, Promise.reject(new Error("no data")), () => undefined);
  answers.answer(1, Promise.resolve(1), () => {
    throw new Error("cannot send");
  });
  await expect.poll(() => answers.isWaiting).toBe(false);
  expect(failures.toSorted()).toEqual(["cannot send", "no data"]);
});
