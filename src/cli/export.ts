/** `quarry export`: a trained model as a plain folder for others, or as a repository on the hub. */
import { Command, Option } from "commander";
import { counted } from "../counted.js";
import type { ExportOptions } from "../index.js";
import { formatBytes } from "../report/format.js";
import { print } from "./print.js";
import { withStop } from "./stoppable.js";

interface Flags {
  readonly out: string;
  readonly merge?: boolean;
  readonly dtype?: string;
  readonly push?: string;
  readonly private?: boolean;
  readonly license?: string;
  readonly json?: boolean;
  readonly debug?: boolean;
}

const DTYPES: Readonly<Record<string, NonNullable<ExportOptions["dtype"]>>> = {
  fp32: "float32",
  float32: "float32",
  bf16: "bfloat16",
  bfloat16: "bfloat16",
  fp16: "float16",
  float16: "float16",
};

/** Makes the command; `setStatus` takes the exit status. */
export function exportCommand(setStatus: (status: number) => void): Command {
  return new Command("export")
    .description("Write a model for others: a plain folder with a card, or a repository.")
    .argument("<model>", "run folder, checkpoint folder, or Hugging Face model id")
    .requiredOption("--out <folder>", "where to; not there yet, or empty")
    .option("--merge", "put an adapter into the weights of its base model")
    .addOption(new Option("--dtype <format>", "number format of the weights").choices(Object.keys(DTYPES)))
    .option("--push <repository>", "upload it to the hub, e.g. org/name; needs `hf auth login`")
    .option("--private", "make the repository private, if it is made")
    .option("--license <name>", "licence for the card, e.g. apache-2.0; default: the base model's")
    .option("--json", "write JSON")
    .option("--debug", "show the trace of an error")
    .action(async (model: string, flags: Flags) =>
      setStatus(await withStop(flags.debug ?? false, (signal) => exportTo(model, flags, signal))),
    );
}

async function exportTo(model: string, flags: Flags, signal: AbortSignal): Promise<number> {
  const { exportModel } = await import("../index.js");
  const dtype = flags.dtype === undefined ? undefined : DTYPES[flags.dtype];
  const made = await exportModel(model, {
    out: flags.out,
    signal,
    ...(flags.merge ? { merge: true } : {}),
    ...(dtype === undefined ? {} : { dtype }),
    ...(flags.push === undefined ? {} : { push: flags.push }),
    ...(flags.private ? { isPrivate: true } : {}),
    ...(flags.license === undefined ? {} : { license: flags.license }),
  });
  print(flags.json, made, ({ folder, fileCount, bytes, url }) => {
    const pushed = url === null ? "" : `\npushed to ${url}`;
    return `${folder}: ${counted(fileCount, "files")}, ${formatBytes(bytes)}${pushed}`;
  });
  return 0;
}
