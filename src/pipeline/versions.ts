/** Versions of the Python packages that results depend on, for environment.json. */
import { execa } from "execa";
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

/** Asks the environment itself, without importing the packages. */
export async function pythonVersions(python: PythonEnvironment): Promise<Record<string, string>> {
  const { stdout } = await execa(python.executable, ["-c", SCRIPT, ...PACKAGES], {
    env: { ...python.env },
    extendEnv: false,
  });
  return JSON.parse(stdout) as Record<string, string>;
}
