/** An orchestrator to be killed: trains with refreshed negatives and kills itself at a moment that its environment names. */
import { train } from "../../src/pipeline/run.js";
import { EventStream } from "../../src/report/events.js";
import { refreshing } from "../integration/refresh-harness.js";

const { place, name, moment } = JSON.parse(process.env["QUARRY_TEST_RUN"] ?? "") as {
  readonly place: { readonly folder: string; readonly model: string; readonly collection: string };
  readonly name: string;
  readonly moment: "mining" | "mined" | "switched" | "later";
};

const events = new EventStream();
const die = (): void => {
  process.kill(process.pid, "SIGKILL");
};
events.subscribe((event) => {
  // By what happened and not by the clock: the deaths after this one need steps that are left. And by what is always
  // told: texts done; a miner that is through between two looks was never busy.
  if (moment === "mining" && event.type === "worker" && event.worker === "mine-0" && event.done > 0) die();
  if (moment === "mined" && event.type === "worker" && event.worker === "mine-0" && event.state === "stopped") die();
  if (moment === "switched" && event.type === "negativesSwitched") die();
  if (moment === "later" && event.type === "trainStep" && event.negatives?.staleness === 5) die();
});
await train(refreshing(place, name, { everySteps: 6, switchAfterSteps: 3 }), { events });
