/**
 * Simulated nodes: network namespaces on a bridge, made and removed here; plain processes where that is not allowed.
 *
 * A node has an address of its own and reaches the orchestrator over TCP alone. Memory, disk and cores are shared: what
 * is simulated is the network and who may go where, not more hardware.
 */
import { execFileSync } from "node:child_process";

/** Where nodes live. */
export interface Network {
  readonly kind: "network namespaces" | "processes";
  /** The orchestrator's address that nodes reach. */
  readonly address: string;
  /** What to put in front of a command so that it runs on a node; nodes count from 0. */
  prefix(node: number): readonly string[];
  /** Takes everything away; safe to call twice, and in an exit handler. */
  close(): void;
}

/** Three octets that differ between benchmarks that run at the same time. */
const subnet = (pid: number): string => `10.${200 + (pid % 50)}.${Math.floor(pid / 50) % 250}`;

/** A network with so many nodes; says why when it has to do without namespaces. */
export function openNetwork(nodes: number, note: (what: string) => void): Network {
  if (process.getuid?.() !== 0) {
    note("Not root: nodes are plain processes that join over the loopback device.");
    return processes();
  }
  try {
    return openNamespaces(nodes);
  } catch (thrown) {
    note(`Namespaces cannot be made (${String(thrown).split("\n")[0]}): nodes are plain processes.`);
    return processes();
  }
}

function processes(): Network {
  return { kind: "processes", address: "127.0.0.1", prefix: () => [], close: () => {} };
}

function openNamespaces(nodes: number): Network {
  // Names of interfaces have at most 15 letters.
  const id = `qb${process.pid % 100_000}`;
  const net = subnet(process.pid);
  const made: (readonly string[])[] = [];
  const ip = (...args: string[]): void => void execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });
  const close = (): void => {
    process.removeListener("exit", close);
    for (const undo of made.splice(0).reverse()) {
      try {
        ip(...undo);
      } catch {
        // It went with the namespace that it belonged to.
      }
    }
  };
  process.once("exit", close);
  try {
    ip("link", "add", id, "type", "bridge");
    made.push(["link", "del", id]);
    ip("addr", "add", `${net}.1/24`, "dev", id);
    ip("link", "set", id, "up");
    for (let node = 0; node < nodes; node += 1) {
      const [space, wire] = [`${id}n${node}`, `${id}v${node}`];
      ip("netns", "add", space);
      made.push(["netns", "del", space]);
      ip("link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", space);
      made.push(["link", "del", wire]);
      ip("link", "set", wire, "master", id);
      ip("link", "set", wire, "up");
      ip("-n", space, "addr", "add", `${net}.${10 + node}/24`, "dev", "eth0");
      ip("-n", space, "link", "set", "eth0", "up");
      ip("-n", space, "link", "set", "lo", "up");
    }
  } catch (thrown) {
    close();
    throw thrown;
  }
  return {
    kind: "network namespaces",
    address: `${net}.1`,
    prefix: (node) => ["ip", "netns", "exec", `${id}n${node}`],
    close,
  };
}
