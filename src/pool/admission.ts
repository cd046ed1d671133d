/** Who may speak to the orchestrator: peers whose first message was a hello with the token. */
import { timingSafeEqual } from "node:crypto";
import { type QuarryError, toQuarryError } from "../errors.js";
import { type Decoded, decodeUp, VersionMismatch } from "../protocol/codec.js";
import type { UpMessage } from "../protocol/messages.js";
import { protocolError } from "../protocol/scan.js";

/** In front of the identities of peers that came over TCP: both sockets choose theirs freely. */
export const REMOTE = "tcp:";

/** Whether the peer came over TCP, and so perhaps from another machine. */
export const isRemote = (peer: string): boolean => peer.startsWith(REMOTE);

/** Why a peer is to be dropped, and whether it is told. */
interface Refusal {
  readonly error: QuarryError;
  readonly isTold: boolean;
}

/** Remembers who was let in. */
export class Admission {
  readonly #accepted = new Set<string>();
  /** Peers that were let in once: what they still send is no news, and no attack. */
  readonly #forgotten = new Set<string>();

  constructor(private readonly token: string) {}

  forget(peer: string): void {
    if (this.#accepted.delete(peer)) this.#forgotten.add(peer);
  }

  /** The message of a peer that is, or is hereby, let in; null for what is no news. */
  read(peer: string, parts: readonly Uint8Array[]): Decoded<UpMessage> | Refusal | null {
    const isAccepted = this.#accepted.has(peer);
    try {
      const decoded = decodeUp(parts);
      return isAccepted ? decoded : this.#letIn(peer, decoded);
    } catch (thrown) {
      if (!isAccepted && this.#forgotten.has(peer)) return null;
      // Bytes that were no message at all are not answered.
      return { error: toQuarryError(thrown), isTold: isAccepted || thrown instanceof VersionMismatch };
    }
  }

  #letIn(peer: string, decoded: Decoded<UpMessage>): Decoded<UpMessage> | Refusal | null {
    const { message } = decoded;
    const isHello = message.type === "hello";
    if (isHello && isEqual(message.token, this.token)) {
      this.#accepted.add(peer);
      return decoded;
    }
    // A connection that came back by itself: its worker beats on until it notices and says hello. The key let it in.
    if (this.#forgotten.has(peer) || (!isHello && isRemote(peer))) return null;
    const why = isHello ? "a hello carries another token" : `a stranger begins with ${message.type}`;
    return { error: protocolError(why), isTold: isHello };
  }
}

function isEqual(seen: string, token: string): boolean {
  const [left, right] = [Buffer.from(seen), Buffer.from(token)];
  return left.length === right.length && timingSafeEqual(left, right);
}
