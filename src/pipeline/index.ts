/** The verbs. */
export { encode, evaluate, mine, run, train } from "./run.js";
export type { RunResult, Verb, VerbOptions } from "./types.js";
