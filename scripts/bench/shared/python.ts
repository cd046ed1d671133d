/** The Python of a benchmark's scripts. */
import { type FindPythonOptions, findPython, type PythonEnvironment } from "../../../src/python/environment.js";

/** As Quarry finds it, for scripts that import their neighbours: a safe path would leave their own folder out. */
export async function findScriptPython(options: FindPythonOptions = {}): Promise<PythonEnvironment> {
  const { executable, env } = await findPython(options);
  const { PYTHONSAFEPATH: _, ...own } = env;
  return { executable, env: own };
}
