/** The verbs. */
export { encode, evaluate, mine, run, train } from "./run.js";
