/** Changed bytes never get past the codec as something else, and nothing but PROTOCOL errors comes out of it. */
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import { encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";
import { QuarryError } from "../../src/errors.js";
import { decodeDown, decodeUp, encodeMessage, VersionMismatch } from "../../src/protocol/codec.js";
import { MAX_HEADER_BYTES } from "../../src/protocol/scan.js";
import { PROTOCOL_VERSION } from "../../src/protocol/version.js";
import { liveBytes } from "../fixtures/live-bytes.js";
import { examples } from "./messages.js";

/** `npm run drills` asks for a million. */
const MESSAGES = Number(process.env["QUARRY_MUTATED_MESSAGES"] ?? 20_000);

/** Had each message stayed, these would be several millions. */
const LEFT_BYTES = 1_000_000;

const copies = (parts: readonly Uint8Array[]): Uint8Array[] => parts.map((part) => Uint8Array.from(part));

function withChecksum(parts: readonly Uint8Array[]): Uint8Array[] {
  const trailer = new Uint8Array(4);
  const crc = parts.reduce((sum, part) => crc32(part, sum), 0);
  new DataView(trailer.buffer).setUint32(0, crc, true);
  return [...parts, trailer];
}

/** What decoding did: "message", "protocol", or the foreign error itself, which fails the test with its text. */
function outcome(decode: () => unknown): unknown {
  try {
    decode();
    return "message";
  } catch (thrown) {
    return thrown instanceof QuarryError && thrown.code === "PROTOCOL" ? "protocol" : thrown;
  }
}

const decoderOf = (direction: "up" | "down") => (direction === "up" ? decodeUp : decodeDown);

describe("a message with one byte changed", () => {
  it.each(examples)("$name is refused wherever the byte is", ({ direction, message, frames }) => {
    const decode = decoderOf(direction);
    const parts = encodeMessage(message, frames);
    for (let part = 0; part < parts.length; part += 1) {
      for (let at = 0; at < (parts[part]?.byteLength ?? 0); at += 1) {
        for (const flip of [0x01, 0x80, 0xff]) {
          const changed = copies(parts);
          const target = changed[part] as Uint8Array;
          target[at] = (target[at] as number) ^ flip;
          const seen = outcome(() => decode(changed));
          // An expect for each byte costs several times what it looks at.
          if (seen !== "protocol") expect(seen, `byte ${at} of part ${part}`).toBe("protocol");
        }
      }
    }
  });

  it.each(examples)("$name is a message or refused when its checksum was made to fit", (example) => {
    const decode = decoderOf(example.direction);
    const parts = encodeMessage(example.message, example.frames).slice(0, -1);
    const header = parts[0] as Uint8Array;
    for (let at = 0; at < header.byteLength; at += 1) {
      for (const flip of [0x01, 0x02, 0x10, 0x40, 0x80, 0xff]) {
        const changed = Uint8Array.from(header);
        changed[at] = (changed[at] as number) ^ flip;
        const seen = outcome(() => decode(withChecksum([changed, ...parts.slice(1)])));
        if (seen !== "message" && seen !== "protocol") throw seen;
      }
    }
  });
});

describe("a message that was mangled at random", () => {
  let state = 0;
  beforeEach(() => {
    state = 1;
  });
  /** mulberry32: the same messages in every run. */
  const below = (limit: number): number => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) % limit;
  };
  const noise = (): Uint8Array => Uint8Array.from({ length: below(24) }, () => below(256));

  /** Bytes changed, cut out, put in or taken from elsewhere in the message. */
  function mangled(part: Uint8Array, other: Uint8Array): Uint8Array {
    const [at, until] = [below(part.length + 1), below(part.length + 1)];
    switch (below(5)) {
      case 0:
        return part.map((byte, place) => (place === at ? below(256) : byte));
      case 1:
        return Buffer.concat([part.subarray(0, at), part.subarray(at + below(16))]);
      case 2:
        return Buffer.concat([part.subarray(0, at), noise(), part.subarray(at)]);
      case 3:
        return Buffer.concat([part.subarray(0, at), part.subarray(until)]);
      default:
        return Buffer.concat([part.subarray(0, at), other.subarray(below(other.length + 1)), part.subarray(until)]);
    }
  }

  it(`is a message or refused, ${MESSAGES.toLocaleString("en-US")} times, and none of it stays in memory`, () => {
    const sound = examples.map(({ direction, message, frames }) => ({
      decode: decoderOf(direction),
      parts: encodeMessage(message, frames).slice(0, -1),
    }));
    const seen = { message: 0, protocol: 0 };
    let before = liveBytes();
    for (let round = 0; round < MESSAGES; round += 1) {
      // What the first half compiles is no leak.
      if (round === MESSAGES / 2) before = liveBytes();
      const { decode, parts } = sound[below(sound.length)] as (typeof sound)[number];
      const changed = [...parts];
      for (let times = 1 + below(4); times > 0; times -= 1) {
        const [place, from] = [below(changed.length), below(changed.length)];
        changed[place] = mangled(changed[place] as Uint8Array, changed[from] as Uint8Array);
      }
      if (below(8) === 0) changed.splice(below(changed.length), 1);
      const found = outcome(() => decode(below(8) === 0 ? changed : withChecksum(changed)));
      if (found !== "message" && found !== "protocol") throw found;
      seen[found] += 1;
    }
    // Both ends are reached: a frame of numbers may change and still be one.
    expect(Math.min(seen.message, seen.protocol)).toBeGreaterThan(MESSAGES / 20);
    const after = liveBytes();
    expect(after.heap - before.heap + after.external - before.external).toBeLessThan(LEFT_BYTES);
  }, 600_000);
});

describe("bytes that were never a message", () => {
  it("are refused, whatever they are", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 5 }), (parts) => {
        expect(outcome(() => decodeUp(parts))).toBe("protocol");
        expect(outcome(() => decodeDown(withChecksum(parts)))).toBe("protocol");
      }),
      { numRuns: 2_000 },
    );
  });

  it("are refused when they are sound msgpack of any shape", () => {
    fc.assert(
      fc.property(fc.anything({ withNullPrototype: false, maxDepth: 4 }), (value) => {
        let header: Uint8Array;
        try {
          header = encode(value);
        } catch {
          return; // not everything has a msgpack form
        }
        expect(outcome(() => decodeUp(withChecksum([header])))).toBe("protocol");
      }),
      { numRuns: 2_000 },
    );
  });

  const text = (value: string): number[] => [0xa0 | value.length, ...Buffer.from(value)];
  const filled = (start: readonly number[], byte: number, length: number): Uint8Array => {
    const bytes = new Uint8Array(length).fill(byte);
    bytes.set(start);
    return bytes;
  };
  const numbered = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [index, index]));
  const hostile: [string, Uint8Array][] = [
    ["a deep nest of arrays", filled([0x81, ...text("v")], 0x91, MAX_HEADER_BYTES)],
    ["a deep nest of maps", filled([0x81, ...text("v")], 0x81, MAX_HEADER_BYTES)],
    ["a million empty maps", filled([0x81, ...text("v"), 0xdd, 0x00, 0x0f, 0xff, 0x00], 0x80, MAX_HEADER_BYTES)],
    ["an array that claims four billion values", Uint8Array.from([0x81, ...text("v"), 0xdd, 255, 255, 255, 255])],
    ["a map that claims four billion values", Uint8Array.from([0xdf, 255, 255, 255, 255, ...text("v"), 1])],
    ["a text that claims four billion bytes", Uint8Array.from([0x81, ...text("v"), 0xdb, 255, 255, 255, 255, 65])],
    ["a header of more than a mebibyte", filled([0x81, ...text("v")], 0xc0, MAX_HEADER_BYTES + 1)],
    ["a text that is not UTF-8", Uint8Array.from([0x81, ...text("v"), 0xa2, 0xc3, 0x28])],
    ["an integer beyond 2^53", Uint8Array.from([0x81, ...text("v"), 0xcf, 0, 0x20, 0, 0, 0, 0, 0, 0])],
    ["an integer in a longer form than needed", Uint8Array.from([0x81, ...text("v"), 0xcc, 1])],
    ["a NaN", Uint8Array.from([0x81, ...text("v"), 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0])],
    ["a key twice", Uint8Array.from([0x82, ...text("v"), 1, ...text("v"), 2])],
    ["a key that is a number", Uint8Array.from([0x81, 1, 1])],
    ["the key __proto__", Uint8Array.from([0x81, ...text("__proto__"), 0x80])],
    ["binary data in the header", Uint8Array.from([0x81, ...text("v"), 0xc4, 1, 0])],
    ["an extension type", Uint8Array.from([0x81, ...text("v"), 0xd6, 0xff, 0, 0, 0, 0])],
    ["bytes after the map", Uint8Array.from([0x80, 0x80])],
    [
      "a fitting envelope with 2,000 wrong values",
      encode({ type: "snapshot", v: PROTOCOL_VERSION, units: new Array(2_000).fill("x"), scores: 1, rows: 1 }),
    ],
    [
      "a fitting envelope with 2,000 unknown keys",
      encode({ type: "bye", v: PROTOCOL_VERSION, reason: "", ...numbered(2_000) }),
    ],
  ];
  it.each(hostile)("%s is refused", (_, header) => {
    expect(outcome(() => decodeUp(withChecksum([header])))).toBe("protocol");
  });

  it("names a wrong number of frames, a short checksum and too many frames", () => {
    const parts = encodeMessage({ type: "bye", reason: "" });
    expect(() => decodeUp(parts.slice(0, 1))).toThrow("too few frames");
    expect(() => decodeUp([parts[0] as Uint8Array, new Uint8Array(3)])).toThrow("4 bytes");
    const many = Array.from({ length: 17 }, () => new Uint8Array(0));
    expect(() => decodeUp(withChecksum([parts[0] as Uint8Array, ...many]))).toThrow("at most 16");
  });
});

describe("a peer of another version", () => {
  it("is named by its first message as that version sent it", () => {
    const file = new URL("version-4.json", import.meta.url);
    const { hello, refuse } = JSON.parse(readFileSync(file, "utf8")) as Record<"hello" | "refuse", string[]>;
    const bytes = (parts: readonly string[]) => parts.map((part) => Buffer.from(part, "hex"));
    const pid = 4_242;
    expect(() => decodeUp(bytes(hello))).toThrow(expect.objectContaining({ version: 4, pid }));
    expect(() => decodeDown(bytes(refuse))).toThrow(expect.objectContaining({ version: 4, pid: null }));
  });

  it("is told apart from garbage, whatever else its messages hold", () => {
    const other = PROTOCOL_VERSION + 1;
    const header = encode({ type: "hello", v: other, capabilities: ["new"] });
    for (const decode of [decodeUp, decodeDown]) {
      expect(() => decode(withChecksum([header]))).toThrow(VersionMismatch);
      expect(() => decode(withChecksum([header]))).toThrow(
        `speaks protocol version ${other}, this is version ${PROTOCOL_VERSION}`,
      );
    }
  });
});

describe("what is sent", () => {
  it("is checked by the same rules before it leaves", () => {
    const bad = { type: "bye", reason: "\ud800" } as const;
    expect(() => encodeMessage(bad)).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
    const heartbeat = { type: "heartbeat", progress: -1 } as const;
    expect(() => encodeMessage(heartbeat)).toThrow("progress");
  });
});
