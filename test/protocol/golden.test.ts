/** Both languages read and write the same bytes: the TypeScript half (test/py/protocol/test_golden.py is the other). */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeDown, decodeUp, encodeMessage } from "../../src/protocol/codec.js";
import { type DownMessage, downMessage, type UpMessage, upMessage } from "../../src/protocol/messages.js";
import { examples } from "./messages.js";

interface Golden {
  readonly direction: "up" | "down";
  readonly message: UpMessage | DownMessage;
  readonly parts: readonly string[];
}

const folder = new URL("golden/", import.meta.url);
const read = (name: string): Golden => JSON.parse(readFileSync(new URL(`${name}.json`, folder), "utf8")) as Golden;
const bytes = (golden: Golden): Uint8Array[] => golden.parts.map((part) => new Uint8Array(Buffer.from(part, "hex")));

describe("golden messages", () => {
  it("has a file for every example and an example for every message", () => {
    expect(readdirSync(folder).sort()).toEqual(examples.map(({ name }) => `${name}.json`).sort());
    const seen = new Set<string>(examples.map(({ message }) => message.type));
    const all = [...upMessage.options, ...downMessage.options].map((each) => each.shape.type.value);
    expect(all.filter((type) => !seen.has(type))).toEqual([]);
  });

  it.each(examples.map(({ name }) => name))("reads %s and writes the same bytes again", (name) => {
    const golden = read(name);
    const { message, frames } = (golden.direction === "up" ? decodeUp : decodeDown)(bytes(golden));
    expect(message).toEqual(golden.message);
    expect(encodeMessage(message, frames).map((part) => Buffer.from(part).toString("hex"))).toEqual(golden.parts);
  });

  it.each(examples.map(({ name }) => name))("%s does not pass in the other direction", (name) => {
    const golden = read(name);
    const decode = golden.direction === "up" ? decodeDown : decodeUp;
    expect(() => decode(bytes(golden))).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });
});
