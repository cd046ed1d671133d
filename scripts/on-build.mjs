/**
 * Runs a TypeScript file of this checkout on what is built of src: `node scripts/on-build.mjs file.ts [arguments]`.
 *
 * On src itself every start would transform all of it, which takes ten times as long.
 */
import { resolve } from "node:path";
import { createJiti } from "jiti";
import { root } from "./setup.mjs";

const dist = resolve(root, "dist");
const alias = Object.fromEntries(["../src", "../../src", "../../../src"].map((path) => [path, dist]));
process.argv.splice(1, 1);
// What is JavaScript already is left to Node.
await createJiti(import.meta.url, { alias, tryNative: true }).import(resolve(process.argv[1]));
