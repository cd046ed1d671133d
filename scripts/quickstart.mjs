/** Makes the checkout ready, then runs the example experiment on the embedded collection; options are handed on. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { failWith, root, setUp } from "./setup.mjs";

await setUp(["demo"]).catch(failWith);
const main = join(root, "dist", "cli", "main.js");
const args = [main, "run", join("examples", "quickstart.ts"), ...process.argv.slice(2)];
const child = spawn(process.execPath, args, { cwd: root, stdio: "inherit" });
// Ctrl-C reaches the child from the terminal; what is sent to this process alone is handed on.
process.on("SIGINT", () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(code ?? (signal === "SIGINT" ? 130 : 143)));
