/** Where the machines of a training meet, and what each of them is started with. */
import { randomBytes } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { QuarryError } from "../errors.js";
import { launchNodes } from "../pool/launch/nodes.js";
import type { Launched } from "../pool/reception.js";
import type { TicketContent } from "../pool/ticket.js";
import { parseAddress } from "../tcp-address.js";
import type { TrainJob, TrainNodes } from "./job.js";

/** The other machines of one launch. */
export interface Meeting {
  /** What this machine's launcher adds to its command line. */
  readonly arguments: readonly string[];
  /** Starts the others; where it rejects, none of them runs. */
  start(admit: () => TicketContent): Promise<Launched>;
}

/** Numbers of ranks that a start may have. */
export function worldSizes({ ranks, nodes }: Pick<TrainJob, "ranks" | "nodes">): number[] {
  if (nodes === undefined) return [ranks];
  const perNode = ranks / nodes.count;
  return Array.from({ length: nodes.count - nodes.least + 1 }, (_, more) => (nodes.least + more) * perNode);
}

/**
 * Chooses where torchrun's agents meet: a free port at the address where the ranks reach the orchestrator.
 *
 * @throws QuarryError CONFIG when that address cannot be listened on.
 */
export async function arrangeMeeting(job: TrainJob, nodes: TrainNodes, maxRestarts: number): Promise<Meeting> {
  const parsed = parseAddress(nodes.listen);
  if (parsed === null) throw cannotMeet(nodes.listen, "it is not of the form tcp://host:port");
  const { host } = parsed;
  const port = await freePort(host.replace(/^\[|\]$/g, ""), nodes.listen);
  const least = nodes.least === nodes.count ? "" : `${nodes.least}:`;
  const joinSeconds = Math.ceil((job.startTimeoutMs ?? 300_000) / 1_000);
  const shared = [
    ...["--rendezvous", `${host}:${port}`, "--nodes", `${least}${nodes.count}`],
    ...["--run-id", randomBytes(8).toString("hex"), "--join-seconds", String(joinSeconds)],
  ];
  const forOthers = [
    ...["-m", "quarry_runtime", "launch", "--ticket", "-", "--ranks", String(job.ranks / nodes.count)],
    ...["--max-restarts", String(maxRestarts), "--threads", String(job.threads), "--device", job.device ?? "auto"],
    ...shared,
  ];
  const numbers = firstNumbers(nodes);
  const argumentsOf = (index: number): string[] => [...forOthers, "--node", String(numbers[index])];
  const tickets: string[] = [];
  const removeTickets = (): void => {
    for (const path of tickets) rmSync(path, { force: true });
  };
  const start = async (admit: () => TicketContent): Promise<Launched> => {
    const launched = await launchNodes({
      ...{ nodes: nodes.others, logDir: job.logDir, runDir: nodes.runDir, events: job.events },
      python: job.python,
      task: {
        name: "train-node",
        arguments: (node, index) => [
          ...argumentsOf(index),
          ...(node.kind === "slurm" ? ["--by-slurm"] : []),
          // A batch script's stdin ends with the ticket; the connection's end is then all that tells of ours.
          ...(node.kind === "slurm" && node.via === "sbatch" ? [] : ["--with-parent"]),
        ],
        tellManual: (index, ticket) => {
          const path = join(nodes.runDir, `train-node-${index}.ticket`);
          rmSync(path, { force: true });
          writeFileSync(path, `${ticket}\n`, { mode: 0o600, flag: "wx" });
          tickets.push(path);
          job.events.emit({
            type: "notice",
            message: `A machine has to be started by hand for training; its ticket is in ${path}.`,
            hint: `python ${argumentsOf(index).join(" ")} < the ticket`,
          });
        },
      },
    })({ admit, ticketPath: "" }).catch((thrown: unknown) => {
      removeTickets();
      throw thrown;
    });
    return {
      ended: launched.ended,
      mayBringMore: () => launched.mayBringMore(),
      close: async (leaveMs) => {
        removeTickets();
        await launched.close(leaveMs);
      },
    };
  };
  return { arguments: [...shared, "--node", "0"], start };
}

/** This machine is 0; an entry of Slurm stands for several. */
function firstNumbers({ others }: TrainNodes): number[] {
  let next = 1;
  return others.map((node) => {
    const first = next;
    next += node.kind === "slurm" ? node.nodes : 1;
    return first;
  });
}

function freePort(host: string, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", ({ message }) => reject(cannotMeet(address, message)));
    server.listen(0, host, () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

function cannotMeet(address: string, why: string): QuarryError {
  return new QuarryError("CONFIG", `The machines of the training cannot meet at ${address}: ${why}.`, {
    hint: "Give workers.listen an address of this machine that the others reach, e.g. tcp://10.0.0.5:0.",
  });
}
