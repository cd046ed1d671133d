/** `quarry search`: finds passages for queries, or for questions from the command line. */
import { type VerbCommand, verbCommand } from "./verb.js";

/** Makes the command; `setStatus` takes the exit status. */
export function searchCommand(setStatus: (status: number) => void): VerbCommand {
  return verbCommand(
    "search",
    "Find the best passages for queries or questions.",
    ["search.topK", "model.checkpoint", "model.dtype", "embeddings.dtype", "workers.device", "runDir"],
    setStatus,
    [
      {
        flags: "--text <question>",
        description: "search for this in place of the data's queries (again for more)",
        path: "search.texts",
        isList: true,
      },
    ],
  );
}
