/** Whether processes of this machine can meet as torchrun has them meet, which would wait ten minutes to find out. */
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { QuarryError } from "../errors.js";

const PATIENCE_MS = 5_000;

/**
 * Looks up the name under which torchrun finds a free port, and connects to where its store listens.
 *
 * @throws QuarryError ENVIRONMENT that says what is missing.
 */
export async function checkLoopback(name = "localhost", address = "127.0.0.1"): Promise<void> {
  await lookup(name).catch((cause: NodeJS.ErrnoException) => {
    throw new QuarryError("ENVIRONMENT", `This machine does not know the name ${name} (${cause.code}).`, {
      hint: `torchrun needs it. Add the line \`${address} ${name}\` to /etc/hosts.`,
      cause,
    });
  });
  const server = createServer((socket) => socket.destroy());
  try {
    server.listen(0, address);
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const socket = connect({ port, host: address });
    try {
      await once(socket, "connect", { signal: AbortSignal.timeout(PATIENCE_MS) });
    } finally {
      socket.destroy();
    }
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    throw new QuarryError("ENVIRONMENT", `Ranks cannot reach each other at ${address} (${code ?? message}).`, {
      hint: "Bring the loopback interface up: ip link set lo up",
      cause: thrown,
    });
  } finally {
    server.close();
  }
}
