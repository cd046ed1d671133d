/** The process behind served.ts: for each message it runs one command line; a NUL ends what that wrote. */
import { createRequire } from "node:module";
import { runCommandLine } from "../../dist/cli/program.js";

const { cache } = createRequire(import.meta.url);

async function serve({ argv, folder, env }) {
  process.chdir(folder);
  for (const name of Object.keys(process.env)) if (!(name in env)) delete process.env[name];
  Object.assign(process.env, env);
  // Here jiti keeps the scripts that it ran; a test may have written others in their place.
  for (const path of Object.keys(cache)) if (!path.includes("node_modules")) delete cache[path];
  const exitCode = await runCommandLine(argv);
  // A command leaves listeners behind that end its process at the next signal.
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"]) process.removeAllListeners(signal);
  process.stdout.write("\0");
  process.stderr.write("\0");
  process.send({ exitCode });
}

process.on("message", (command) => void serve(command));
process.on("disconnect", () => process.exit());
