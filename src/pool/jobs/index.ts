/** Every kind of job that a pool takes. */
export type { Answer, Assignment } from "./assignment.js";
export { describing, describingCrossEncoder } from "./describe.js";
export { encoding } from "./encode.js";
export { probing } from "./probe.js";
export { scoring } from "./score.js";
export { searching } from "./search.js";
