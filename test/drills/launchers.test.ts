/** What test/fault/launchers.test.ts holds by some launchers only, by the others: each step of theirs is tried there in another company. */
import { afterAll, beforeAll, it } from "vitest";
import { expectCancelled, expectTrainedAlong, trainAlone } from "../fixtures/launched.js";
import { type Launchers, openLaunchers, startable } from "../fixtures/launchers.js";
import { encodeAll, withNodePool } from "../fixtures/node-pool.js";
import { TrainingBench } from "../integration/training-harness.js";

let launchers: Launchers;
beforeAll(async () => {
  launchers = await openLaunchers();
});
afterAll(() => launchers.close());

it.each(startable("sbatch"))(
  "%s: a job that is cancelled takes its workers along, and the others finish",
  async (way) => {
    const { bench } = launchers;
    const local = await withNodePool(bench, { count: 1 }, ({ pool }) => encodeAll(bench, pool));
    await expectCancelled(launchers, way, local);
  },
);

it("a machine that trains along, by ssh or srun: both have the losses of one rank", async () => {
  const training = await TrainingBench.open();
  const alone = await trainAlone(launchers, training);
  for (const way of startable("ssh", "srun")) await expectTrainedAlong(launchers, way, training, alone);
  await training.close();
});
