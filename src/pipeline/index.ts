/** The verbs, each loaded when it is called: a script that only looks at its data does not wait for sockets and processes. */
import type { Experiment } from "../experiment/define.js";
import type { RunResult, Verb, VerbOptions } from "./types.js";

type VerbName = "run" | "train" | "evaluate" | "mine" | "encode";

function verb(name: VerbName): Verb {
  return async (experiment: Experiment, options?: VerbOptions): Promise<RunResult> => {
    const verbs = await import("./run.js");
    return verbs[name](experiment, options);
  };
}

/** Does everything the experiment asks for, in the order of its `steps`. */
export const run: Verb = verb("run");
/** Trains; goes on from the newest complete checkpoint of the run folder. */
export const train: Verb = verb("train");
/** Evaluates the checkpoint that was trained in the run folder, or else the experiment's own model. */
export const evaluate: Verb = verb("evaluate");
/** Mines hard negatives with the checkpoint that was trained in the run folder, or else with the experiment's own model. */
export const mine: Verb = verb("mine");
/** Encodes with the checkpoint that was trained in the run folder, or else with the experiment's own model. */
export const encode: Verb = verb("encode");
