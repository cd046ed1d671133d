/** `quarry types`: the options of a user's own losses and encoders as TypeScript types. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { Command } from "commander";
import { QuarryError } from "../errors.js";

/** What the system says of a path that cannot be written. */
const UNFIT = ["EISDIR", "EACCES", "EPERM", "EROFS", "ENOTDIR", "EEXIST", "ENAMETOOLONG", "ELOOP"];
const FULL = ["ENOSPC", "EDQUOT"];

interface Flags {
  readonly plugin?: readonly string[];
  readonly out: string;
}

/** Makes the command. */
export function typesCommand(): Command {
  return new Command("types")
    .description("Write the options of plugins as TypeScript types, so that a wrong one does not compile.")
    .argument("[experiment]", "script whose plugins are meant")
    .option("--plugin <file...>", "Python files that register losses, encoders and the like")
    .option("--out <file>", "file to write", "quarry-plugins.d.ts")
    .option("--debug", "show the trace of an error")
    .action(writeTypes);
}

async function writeTypes(script: string | undefined, flags: Flags): Promise<void> {
  const plugins = [...(await pluginsOf(script)), ...(flags.plugin ?? []).map((file) => resolve(file))];
  if (plugins.length === 0) {
    throw new QuarryError("CONFIG", `${script ?? "quarry types"}: no plugin is named`, {
      hint: "Name Python files with --plugin my.py, or a script whose model.plugins does.",
    });
  }
  const [{ listRegistered }, { pluginDeclarations }] = await Promise.all([
    import("../python/introspect.js"),
    import("../python/declarations.js"),
  ]);
  const out = resolve(flags.out);
  const registered = await listRegistered({ plugins: [...new Set(plugins)] });
  await write(out, pluginDeclarations(registered, dirname(out)), flags.out);
  const own = Object.values(registered)
    .flat()
    .filter(({ origin }) => origin !== "built-in");
  const names = own.map(({ name }) => name).join(", ");
  process.stdout.write(`${flags.out}: ${names === "" ? "no types, for the plugins register nothing" : names}\n`);
}

async function write(out: string, text: string, named: string): Promise<void> {
  try {
    await mkdir(dirname(out), { recursive: true });
    await writeFile(out, text);
  } catch (cause) {
    const { code = "", message } = cause as NodeJS.ErrnoException;
    if (FULL.includes(code)) {
      const told = `--out: ${named} cannot be written: ${message}.`;
      throw new QuarryError("ENVIRONMENT", told, { hint: "Free some space, or name a file elsewhere.", cause });
    }
    if (!UNFIT.includes(code)) throw cause;
    const why = code === "EISDIR" ? "it is a folder" : message;
    throw new QuarryError("CONFIG", `--out: ${named} cannot be written: ${why}.`, {
      hint: "Name a file, e.g. --out types/quarry-plugins.d.ts.",
      cause,
    });
  }
}

/** The plugins of a script's models, as absolute paths. */
async function pluginsOf(script: string | undefined): Promise<string[]> {
  if (script === undefined) return [];
  const [{ loadExperiment }, { modelsIn }] = await Promise.all([
    import("../experiment/load.js"),
    import("../experiment/mine-checks.js"),
  ]);
  const { config, baseDir } = await loadExperiment(script);
  const plugins = modelsIn(config).flatMap(([, model]) => (model.kind === "biEncoder" ? model.plugins : []));
  return plugins.map((file) => resolve(baseDir, file));
}
