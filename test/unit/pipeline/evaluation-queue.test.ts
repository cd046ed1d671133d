/** Checkpoints that wait for their evaluation: in order, bounded, and over when training is. */
import { expect, test } from "vitest";
import { EvaluationQueue } from "../../../src/pipeline/evaluating/queue.js";

/** A queue whose evaluations end when the test says so. */
function recorded(maxWaiting: number, last = Number.POSITIVE_INFINITY) {
  const log: string[] = [];
  const endings: ((error?: Error) => void)[] = [];
  const queue = new EvaluationQueue(
    {
      evaluate: async (step) => {
        log.push(`evaluate ${step}`);
        await new Promise<void>((resolve, reject) => endings.push((error) => (error ? reject(error) : resolve())));
        return step < last ? "goOn" : "end";
      },
      skip: async (step) => {
        log.push(`skip ${step}`);
      },
    },
    maxWaiting,
  );
  const offer = (...steps: number[]): void => {
    for (const step of steps) queue.offer(step);
  };
  const end = async (error?: Error): Promise<void> => {
    endings.shift()?.(error);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { queue, log, offer, end };
}

test("checkpoints are evaluated one at a time, in the order in which they came", async () => {
  const { queue, log, offer, end } = recorded(4);
  offer(10, 20, 10);
  expect(queue.steps).toEqual([10, 20]);
  await end();
  offer(30);
  await end();
  await end();
  await queue.drained();
  expect(log).toEqual(["evaluate 10", "evaluate 20", "evaluate 30"]);
});

test("of too many that wait the oldest are skipped, never the one in hand", async () => {
  const { queue, log, offer, end } = recorded(2);
  offer(10, 20, 30, 40, 50);
  await end();
  expect(log).toEqual(["evaluate 10", "skip 20", "skip 30", "evaluate 40"]);
  await end();
  await end();
  await queue.drained();
  expect(log.at(-1)).toBe("evaluate 50");
});

test("nothing is evaluated after the one that ends training", async () => {
  const { queue, log, offer, end } = recorded(4, 20);
  offer(10, 20, 30);
  await end();
  await end();
  offer(40);
  await queue.drained();
  expect(log).toEqual(["evaluate 10", "evaluate 20"]);
});

test("what made it stop is thrown to whoever waits for the end", async () => {
  const { queue, offer, end } = recorded(4);
  offer(10, 20);
  await end(new Error("no space left"));
  await expect(queue.drained()).rejects.toThrow("no space left");
});

test("a queue that is closed forgets what waits and waits for the one in hand", async () => {
  const { queue, log, offer, end } = recorded(4);
  offer(10, 20);
  const closed = queue.close();
  await end();
  await closed;
  expect(log).toEqual(["evaluate 10"]);
});
