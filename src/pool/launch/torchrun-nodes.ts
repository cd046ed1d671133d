/** Workers as ranks of torchrun, for machines that know no other way to start a process on each GPU. */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { onExit } from "../../exit.js";
import type { TorchrunNode } from "../../experiment/schema.js";
import { makeOwnFolder } from "../temporary-folder.js";
import { joinArguments, type LaunchSettings, type NodeLauncher, placeOf, startNode } from "./node.js";

/** Its own store on loopback; whoever names other machines in `args` opens it to them. */
const ALWAYS = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1", "--nnodes=1"];

export function torchrunLauncher(node: TorchrunNode, settings: LaunchSettings): NodeLauncher {
  return {
    label: `torchrun with ${node.workersPerNode} rank${node.workersPerNode === 1 ? "" : "s"}`,
    start: (ticket) => {
      // Ranks share one stdin, so that only one of them could read a ticket from it.
      const folder = makeOwnFolder();
      const path = join(folder, "ticket");
      writeFileSync(path, `${ticket}\n`, { mode: 0o600, flag: "wx" });
      const remove = (): void => rmSync(folder, { recursive: true, force: true });
      const leaveExit = onExit(remove);
      const { python, path: modules } = placeOf(node, settings);
      const command = [
        ...["env", `PYTHONPATH=${modules}`, python, "-m", "torch.distributed.run", ...ALWAYS],
        // Its own files go with the ticket, in place of a folder that nobody removes after a kill.
        ...[`--nproc-per-node=${node.workersPerNode}`, `--log-dir=${join(folder, "logs")}`, ...node.args],
        ...[...joinArguments(node, path), "--with-parent"],
      ];
      const started = startNode(command, settings, { text: "", isAll: false });
      void started.ended.then(() => {
        leaveExit();
        remove();
      });
      return started;
    },
  };
}
