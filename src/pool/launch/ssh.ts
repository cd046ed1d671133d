/** Workers on a machine that ssh reaches: `ssh host … python -m quarry_runtime join`, the ticket on its stdin. */
import type { SshNode } from "../../experiment/schema.js";
import { joinArguments, type LaunchSettings, type NodeLauncher, placeOf, quoted, startNode } from "./node.js";

/** No terminal, no question that nobody would answer, and an end within a minute when the machine is gone. */
const ALWAYS = ["-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"];
/** For a host that accepts and says nothing as well. Of two mentions ssh takes the first: a node's options go before. */
const CONNECT = ["-o", "ConnectTimeout=30"];

export function sshLauncher(node: SshNode, settings: LaunchSettings): NodeLauncher {
  return {
    label: `ssh ${node.host}`,
    start: (ticket) =>
      startNode(
        ["ssh", ...ALWAYS, ...node.options, ...CONNECT, "--", node.host, remoteCommand(node, settings)],
        settings,
        {
          text: `${ticket}\n`,
          isAll: false,
        },
      ),
  };
}

/** One text, because ssh hands it to the shell of the other machine. */
function remoteCommand(node: SshNode, settings: LaunchSettings): string {
  const { python, path } = placeOf(node, settings);
  const words = ["exec", "env", `PYTHONPATH=${path}`, "PYTHONUNBUFFERED=1", python];
  return [...words, ...(settings.arguments ?? joinArguments(node, "-", node.workers))].map(quoted).join(" ");
}
