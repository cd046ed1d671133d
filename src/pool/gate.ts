/** The gate for other machines: a ROUTER on TCP that only speaks CURVE, and only with clients whose keys it knows. */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { Context, curveKeyPair, Reply, Router } from "zeromq";
import { QuarryError } from "../errors.js";
import { isWildcard, parseAddress } from "../tcp-address.js";
import { ROUTER_OPTIONS } from "./channel.js";

/** What one client needs to come in, beside the token. Keys in Z85. */
export interface Admission {
  readonly endpoint: string;
  readonly serverKey: string;
  readonly clientPublicKey: string;
  readonly clientSecretKey: string;
}

/** A socket that listens. */
export interface Gate {
  readonly socket: Router;
  /** Where it listens, with the port that it got. */
  readonly address: string;
  /** Whether it listens on every network of this machine. */
  readonly isWildcard: boolean;
  /** Makes and pins the key of one more client. */
  admit(): Admission;
  /** Ends the answering of keys; the socket is closed by its channel. */
  close(): Promise<void>;
}

const DOMAIN = "quarry";
/** The address that libzmq asks about each client key; one for each context. */
const ZAP_ENDPOINT = "inproc://zeromq.zap.01";
/** A connection that does not finish its handshake is closed: strangers must not pile up. */
const HANDSHAKE_MS = 5_000;
const REBIND_ATTEMPTS = 10;
const REBIND_PAUSE_MS = 50;

/**
 * Listens, with a server key made for this run.
 *
 * @param address `tcp://10.0.0.5:4555`
 * @param onIntruder somebody failed at the handshake: no CURVE, another server key, a client key that is not pinned
 * @throws QuarryError CONFIG when the address cannot be listened on
 */
export async function openGate(address: string, onIntruder: (error: QuarryError) => void): Promise<Gate> {
  const parsed = parseAddress(address);
  if (parsed === null) throw unusable(address, "it is not of the form tcp://host:port");
  const ip = await numeric(parsed.host, address);
  const isEverywhere = isWildcard(ip);
  // A context of its own: every context has one answerer of keys, and the ipc socket needs none.
  const context = new Context();
  const server = curveKeyPair();
  const pinned = new Set<string>();
  const keeper = new Reply({ context, linger: 0 });
  await keeper.bind(ZAP_ENDPOINT);
  const answering = answerKeys(keeper, pinned, onIntruder);
  const socket = new Router({
    ...ROUTER_OPTIONS,
    context,
    ipv6: ip.startsWith("["),
    curveServer: true,
    curveSecretKey: server.secretKey,
    zapDomain: DOMAIN,
    handshakeInterval: HANDSHAKE_MS,
  });
  socket.events.on("handshake:error:protocol", ({ error }) => {
    onIntruder(new QuarryError("PROTOCOL", `A connection failed at the handshake (${error.code ?? error.message}).`));
  });
  try {
    await bind(socket, `tcp://${ip}:${parsed.port === 0 ? "*" : parsed.port}`);
  } catch (thrown) {
    socket.close();
    keeper.close();
    await answering;
    throw unusable(address, (thrown as Error).message);
  }
  const port = /:(\d+)$/.exec(socket.lastEndpoint ?? "")?.[1] ?? String(parsed.port);
  const endpoint = `tcp://${isEverywhere ? hostname() : parsed.host}:${port}`;
  return {
    socket,
    address: `tcp://${parsed.host}:${port}`,
    isWildcard: isEverywhere,
    admit: () => {
      const client = curveKeyPair();
      pinned.add(client.publicKey);
      const { publicKey: clientPublicKey, secretKey: clientSecretKey } = client;
      return { endpoint, serverKey: server.publicKey, clientPublicKey, clientSecretKey };
    },
    close: async () => {
      keeper.close();
      await answering;
    },
  };
}

/** The socket of this process's pool before, e.g. until training began, is closed a moment after it was told to. */
async function bind(socket: Router, address: string): Promise<void> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await socket.bind(address);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== "EADDRINUSE" || attempt === REBIND_ATTEMPTS) throw thrown;
      await delay(REBIND_PAUSE_MS);
    }
  }
}

/** Answers libzmq's question whether a client key may come in (RFC 27): yes for pinned ones, no for all others. */
async function answerKeys(
  keeper: Reply,
  pinned: ReadonlySet<string>,
  onIntruder: (error: QuarryError) => void,
): Promise<void> {
  try {
    for await (const [version, request, domain, address, , mechanism, key] of keeper) {
      const isKnown =
        String(domain) === DOMAIN && String(mechanism) === "CURVE" && key !== undefined && pinned.has(z85(key));
      await keeper.send([version ?? "1.0", request ?? "", isKnown ? "200" : "400", isKnown ? "OK" : "No", "", ""]);
      if (!isKnown) {
        const message = `A client at ${String(address).slice(0, 64)} has a key that this run did not hand out.`;
        onIntruder(new QuarryError("PROTOCOL", message));
      }
    }
  } catch (thrown) {
    if (!keeper.closed) throw thrown;
  }
}

const Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/** Bytes as text of 85 letters (ZeroMQ RFC 32): five letters for four bytes. */
export function z85(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let text = "";
  for (let offset = 0; offset + 4 <= bytes.byteLength; offset += 4) {
    const value = view.getUint32(offset);
    for (let power = 85 ** 4; power >= 1; power /= 85) text += Z85[Math.floor(value / power) % 85];
  }
  return text;
}

/** libzmq binds to numbers, not to names. */
async function numeric(host: string, address: string): Promise<string> {
  if (host === "*" || host.startsWith("[") || isIP(host) === 4) return host;
  try {
    const { address: found, family } = await lookup(host);
    return family === 6 ? `[${found}]` : found;
  } catch (thrown) {
    throw unusable(address, `the host is not known (${(thrown as NodeJS.ErrnoException).code ?? "lookup failed"})`);
  }
}

function unusable(address: string, why: string): QuarryError {
  return new QuarryError("CONFIG", `Workers cannot join at ${address}: ${why}.`, {
    hint: "Give workers.listen an address of this machine and a free port: tcp://10.0.0.5:4555, or port 0 for any.",
  });
}
