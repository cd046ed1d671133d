/** Versions of the Python packages that results depend on, for environment.json. */
import { execa } from "execa";
import { QuarryError } from "../errors.js";
import type { PythonEnvironment } from "../python/environment.js";
import { START_HINT, startFailure } from "../python/no-start.js";

const PACKAGES =
  "torch transformers accelerate tokenizers safetensors numpy pyarrow pyzmq msgspec pytrec_eval-terrier".split(" ");

const SCRIPT = `
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
`;

/**
 * Asks the environment itself, without importing the packages.
 *
 * @throws QuarryError ENVIRONMENT where the interpreter does not even start.
 */
export async function pythonVersions(python: PythonEnvironment): Promise<Record<string, string>> {
  const result = await execa(python.executable, ["-c", SCRIPT, ...PACKAGES], {
    env: { ...python.env },
    extendEnv: false,
    reject: false,
  });
  if (!result.failed) return JSON.parse(result.stdout) as Record<string, string>;
  const stderr = result.stderr ?? "";
  // Of a trace the last line says most.
  const told = stderr.trim().split("\n").at(-1) || result.shortMessage;
  throw (
    startFailure(python.executable, stderr, result) ??
    new QuarryError("ENVIRONMENT", `${python.executable} does not run: ${told}`, { hint: START_HINT, cause: result })
  );
}
