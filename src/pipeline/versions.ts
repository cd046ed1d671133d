/** Versions of the Python packages that results depend on, for environment.json. */
import { execa } from "execa";
import { QuarryError } from "../errors.js";
import type { PythonEnvironment } from "../python/environment.js";

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
  // The interpreter names its trouble first; of a trace the last line says most.
  const lines = (result.stderr ?? "").trim().split("\n");
  const told = lines.find((line) => line.startsWith("Fatal Python error")) ?? lines.at(-1) ?? "";
  throw new QuarryError("ENVIRONMENT", `${python.executable} does not run: ${told || result.shortMessage}`, {
    hint: "Look at the environment variables that begin with PYTHON, then at `npx quarry setup`.",
    cause: result,
  });
}
