/** `quarry search`: finds passages for queries, or for questions from the command line. */
import { resolve } from "node:path";
import { type VerbCommand, verbCommand } from "./verb.js";

/** Makes the command; `setStatus` takes the exit status. */
export function searchCommand(setStatus: (status: number) => void): VerbCommand {
  return verbCommand(
    "search",
    "Find the best passages for queries or questions.",
    ["search.topK", "search.index", "model.checkpoint", "model.dtype", "embeddings.dtype", "workers.device", "runDir"],
    setStatus,
    [
      {
        flags: "--text <question>",
        description: "search for this in place of the data's queries (again for more)",
        path: "search.texts",
        toValue: (text, before) => [...((before ?? []) as readonly string[]), text],
      },
      {
        flags: "--index <folder>",
        description: "search the FAISS index in this folder, which quarry encode --export faiss wrote",
        path: "search.index",
        // As other arguments of a command, and unlike paths in the script, from where the command is given.
        toValue: (folder) => ({ folder: resolve(folder) }),
      },
    ],
  );
}
