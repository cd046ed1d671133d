/** Tensors in frames keep their numbers, and a frame of another size is refused. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesOf, tensor, toFloat32, toInt32 } from "../../../src/protocol/tensor.js";

describe("tensors", () => {
  it("keep every float32 and int32, also when the frame does not start on a multiple of four", () => {
    fc.assert(
      fc.property(fc.float32Array({ maxLength: 50 }), fc.int32Array({ maxLength: 50 }), (floats, ints) => {
        const frame = (bytes: Uint8Array): Uint8Array => {
          const shifted = new Uint8Array(bytes.byteLength + 1).subarray(1);
          shifted.set(bytes);
          return shifted;
        };
        const frames = [frame(bytesOf(floats)), frame(bytesOf(ints))];
        expect(toFloat32(tensor("float32", [floats.length], 1), frames)).toEqual(floats);
        expect(toInt32(tensor("int32", [ints.length], 2), frames)).toEqual(ints);
      }),
    );
  });

  it("widen float16 and bfloat16 exactly", () => {
    const half = bytesOf(new Uint8Array(new Uint16Array([0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x8000]).buffer));
    expect([...toFloat32(tensor("float16", [2, 3], 1), [half])]).toEqual([1, -2, 2 ** -24, 65_504, Infinity, -0]);
    const brain = new Uint8Array(new Uint16Array([0x3f80, 0xc000, 0x3e20]).buffer);
    expect([...toFloat32(tensor("bfloat16", [3], 1), [brain])]).toEqual([1, -2, 0.156_25]);
  });

  it.each([
    ["a missing frame", tensor("float32", [1], 2)],
    ["a frame of another size", tensor("float32", [2], 1)],
    ["integers where numbers belong", tensor("int32", [1], 1)],
    ["a shape beyond all bounds", tensor("float32", [2 ** 52, 2 ** 52, 2 ** 52, 2 ** 52], 1)],
  ])("refuse %s", (_, spec) => {
    expect(() => toFloat32(spec, [new Uint8Array(4)])).toThrow(expect.objectContaining({ code: "PROTOCOL" }));
  });
});
