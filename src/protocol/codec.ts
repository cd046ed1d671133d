/** Messages to frames and back: msgpack header, binary frames, crc32; whatever bytes come in, only PROTOCOL errors come out. */
import { crc32 } from "node:zlib";
import { decode, encode } from "@msgpack/msgpack";
import type { z } from "zod";
import { QuarryError } from "../errors.js";
import { type DownMessage, downMessage, type Unversioned, type UpMessage, upMessage } from "./messages.js";
import { protocolError, scanHeader } from "./scan.js";
import { PROTOCOL_VERSION } from "./version.js";

/** Longest binary frame in bytes. */
export const MAX_FRAME_BYTES = 1_073_741_824;
/** Binary frames in one message. */
export const MAX_FRAMES = 16;

/** A peer whose messages are sound but of another protocol version. */
export class VersionMismatch extends QuarryError {
  /** @param pid of its process, where the message was a hello */
  constructor(
    readonly version: number,
    readonly pid: number | null,
  ) {
    super("PROTOCOL", `The peer speaks protocol version ${version}, this is version ${PROTOCOL_VERSION}.`, {
      hint: "Install the same release of Quarry on both sides, or run `npm run setup` again.",
    });
  }
}

/** What is needed of a zod schema: unions and objects alike. */
interface Schema<Message> {
  safeParse(value: unknown): z.ZodSafeParseResult<Message>;
}

/** A message and its binary frames; `TensorSpec.frame` 1 is `frames[0]`. */
export interface Decoded<Message> {
  readonly message: Message;
  readonly frames: Uint8Array[];
}

/**
 * Frames of one message: header with this version, the given binary frames, crc32 (4 bytes, little endian) over all of them.
 *
 * @throws QuarryError PROTOCOL when the message breaks messages.ts or a limit.
 * @example
 * await socket.send([peer, ...encodeMessage({ type: "flush" })]);
 */
export function encodeMessage(
  message: Unversioned<UpMessage | DownMessage>,
  frames: readonly Uint8Array[] = [],
): Uint8Array[] {
  const whole = { v: PROTOCOL_VERSION, ...message };
  const { type, ...rest } = downTypes.has(message.type) ? parse(downMessage, whole) : parse(upMessage, whole);
  let header: Uint8Array;
  try {
    // The tag goes first, as msgspec writes it: both languages give the same bytes for the same message.
    header = encode({ type, ...rest });
  } catch (thrown) {
    throw protocolError("its header cannot be written as msgpack", thrown);
  }
  scanHeader(header);
  checkFrames(frames);
  const trailer = new Uint8Array(4);
  new DataView(trailer.buffer).setUint32(0, checksum([header, ...frames]), true);
  return [header, ...frames, trailer];
}

/**
 * A message from a worker or rank.
 *
 * @throws VersionMismatch for a sound message of another version, QuarryError PROTOCOL for anything else.
 */
export function decodeUp(parts: readonly Uint8Array[]): Decoded<UpMessage> {
  return decodeParts(upMessage, parts);
}

/** A message from the orchestrator; raises as {@link decodeUp} does. */
export function decodeDown(parts: readonly Uint8Array[]): Decoded<DownMessage> {
  return decodeParts(downMessage, parts);
}

const downTypes: ReadonlySet<string> = new Set(downMessage.options.map((each) => each.shape.type.value));

function decodeParts<Message>(schema: Schema<Message>, parts: readonly Uint8Array[]): Decoded<Message> {
  const header = parts[0];
  const trailer = parts.at(-1);
  if (header === undefined || trailer === undefined || parts.length < 2) throw protocolError("it has too few frames");
  const frames = parts.slice(1, -1);
  checkFrames(frames);
  if (trailer.byteLength !== 4) throw protocolError("its checksum does not have 4 bytes");
  // Before the checksum, which would otherwise run over a header of any size.
  scanHeader(header);
  const expected = new DataView(trailer.buffer, trailer.byteOffset, 4).getUint32(0, true);
  if (checksum(parts.slice(0, -1)) !== expected) throw protocolError("its checksum does not match");
  let value: unknown;
  try {
    value = decode(header);
  } catch (thrown) {
    throw protocolError("its header is not msgpack", thrown);
  }
  // The envelope (crc32, map, `v`, a hello's `pid`) is the same in every version, so that another one can be named and
  // known, not just refused.
  const { v, pid } = value as { readonly v?: unknown; readonly pid?: unknown };
  if (isInteger(v) && v !== PROTOCOL_VERSION) throw new VersionMismatch(v, isInteger(pid) ? pid : null);
  return { message: parse(schema, value), frames };
}

function parse<Message>(schema: Schema<Message>, value: unknown): Message {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  const where = issue === undefined || issue.path.length === 0 ? "" : ` at ${issue.path.join(".").slice(0, 200)}`;
  throw protocolError(`it does not follow the protocol${where}: ${(issue?.message ?? "").slice(0, 500)}`);
}

const isInteger = (value: unknown): value is number => Number.isInteger(value);

function checkFrames(frames: readonly Uint8Array[]): void {
  if (frames.length > MAX_FRAMES) throw protocolError(`it has ${frames.length} binary frames, at most ${MAX_FRAMES}`);
  for (const frame of frames) {
    if (frame.byteLength > MAX_FRAME_BYTES) throw protocolError(`a frame has ${frame.byteLength} bytes`);
  }
}

function checksum(frames: readonly Uint8Array[]): number {
  return frames.reduce((crc, frame) => crc32(frame, crc), 0);
}
