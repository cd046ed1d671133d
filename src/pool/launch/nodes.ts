/** All nodes of a run: started with it, watched while it goes on, ended with it. */
import type { NodeConfig } from "../../experiment/schema.js";
import type { PythonEnvironment } from "../../python/environment.js";
import type { EventStream } from "../../report/events.js";
import type { Launch } from "../reception.js";
import { ticketLine } from "../ticket.js";
import { endsWithin } from "./gone.js";
import type { Ending } from "./local.js";
import type { LaunchSettings, NodeLauncher, NodeProcess } from "./node.js";
import { slurmLauncher } from "./slurm.js";
import { sshLauncher } from "./ssh.js";
import { torchrunLauncher } from "./torchrun-nodes.js";

/** What nodes are started with. */
export interface NodesOptions {
  readonly nodes: readonly NodeConfig[];
  readonly python: PythonEnvironment;
  /** What a node's launcher writes goes to `<logDir>/node-<n>.log`. */
  readonly logDir: string;
  /** Where join.ticket lies, for the hint to whoever starts workers by hand. */
  readonly runDir: string;
  readonly events: EventStream;
  /** For something else than workers. */
  readonly task?: NodeTask;
}

/** What nodes do in place of working for a pool. */
export interface NodeTask {
  /** Log files are called `<name>-<n>.log`. */
  readonly name: string;
  /** Arguments of the interpreter for a node, which gets its ticket on stdin. */
  readonly arguments: (node: NodeConfig, index: number) => readonly string[];
  /** Tells somebody how to start a node by hand. */
  readonly tellManual: (index: number, ticket: string) => void;
}

/** After the workers have left: for launchers to end by themselves, then after a request. */
const LEAVE_MS = 3_000;
const STOP_MS = 3_000;

/**
 * How a pool starts its nodes.
 *
 * @example
 * await openPool({ workers, python, logDir, events, runDir, launch: launchNodes({ nodes: workers.nodes, … }) });
 */
export function launchNodes(options: NodesOptions): Launch {
  return async ({ admit }) => {
    const nodes = new Nodes(options);
    try {
      nodes.start(() => ticketLine(admit()));
    } catch (thrown) {
      // Nobody else knows of those that were started before.
      await nodes.close(0);
      throw thrown;
    }
    return nodes;
  };
}

class Nodes {
  readonly #options: NodesOptions;
  readonly #processes: NodeProcess[] = [];
  #runningCount = 0;
  #isClosing = false;
  /** Resolves when no node can bring a worker any more; never, where somebody starts workers by hand. */
  ended: Promise<void> = new Promise(() => {});

  constructor(options: NodesOptions) {
    this.#options = options;
  }

  start(ticket: () => string): void {
    const { nodes, python, logDir, runDir, events, task } = this.#options;
    const endings: Promise<void>[] = [];
    nodes.forEach((node, index) => {
      if (node.kind === "manual") {
        if (task !== undefined) return task.tellManual(index, ticket());
        const message = "Workers on other machines are started by hand.";
        events.emit({
          type: "notice",
          message,
          hint: `npx quarry join --print --run ${runDir} shows the command to paste`,
        });
        return;
      }
      const name = `${task?.name ?? "node"}-${index}`;
      const own = task === undefined ? {} : { arguments: task.arguments(node, index) };
      const launcher = launcherOf(node, { name, python, logDir, ...own });
      // A key of its own for each: a node that is not trusted any more can be told from the others.
      const process = launcher.start(ticket());
      this.#processes.push(process);
      this.#runningCount += 1;
      endings.push(
        process.ended.then((ending) => {
          this.#runningCount -= 1;
          this.#tell(name, launcher.label, ending);
        }),
      );
    });
    if (nodes.every(({ kind }) => kind !== "manual")) this.ended = Promise.all(endings).then(() => {});
  }

  mayBringMore(): boolean {
    return this.#runningCount > 0;
  }

  /** Call it when the workers were told to leave; nothing of this machine is left running afterwards. */
  async close(leaveMs = LEAVE_MS): Promise<void> {
    this.#isClosing = true;
    const ended = Promise.all(this.#processes.map((process) => process.ended));
    for (const patienceMs of [leaveMs, STOP_MS]) {
      if (await endsWithin(ended, patienceMs)) return;
      for (const process of this.#processes) process.stop();
    }
    await ended;
  }

  #tell(name: string, label: string, { how, exitCode, lastLines }: Ending): void {
    if (this.#isClosing) return;
    const { events, logDir } = this.#options;
    if (exitCode === 0) {
      events.emit({ type: "log", source: name, level: "info", text: `${label} has ended` });
      return;
    }
    const words = lastLines.length === 0 ? "" : ` Its last lines:\n  ${lastLines.join("\n  ")}`;
    const message = `${name} (${label}) ${how.startsWith("killed") ? `was ${how}` : how}.${words}`;
    // An interpreter's own words, which is all there is where nothing of Quarry's can be read.
    const isElsewhere = lastLines.some((line) => line.includes("No module named quarry_runtime"));
    const way = isElsewhere ? "Set the node's directory to where py_runtime lies there. " : "";
    events.emit({ type: "warning", message, hint: `${way}See ${logDir}/${name}.log.` });
  }
}

function launcherOf(node: Exclude<NodeConfig, { kind: "manual" }>, settings: LaunchSettings): NodeLauncher {
  switch (node.kind) {
    case "ssh":
      return sshLauncher(node, settings);
    case "slurm":
      return slurmLauncher(node, settings);
    case "torchrun":
      return torchrunLauncher(node, settings);
  }
}
