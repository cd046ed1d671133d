/** CSV by RFC 4180: quotes, line ends inside of them, separators. */
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { type CellCutter, cutAt } from "../../../../src/data/readers/cells.js";
import { cutCsv } from "../../../../src/data/readers/csv-cells.js";
import { InputFile } from "../../../../src/data/readers/input.js";
import { newCollection } from "../collection.js";
import { readContent } from "./read-file.js";

describe("CSV", () => {
  test("quoted cells hold separators, quotes and line ends as they are written; lines are counted through", async () => {
    const content =
      'id,text\r\na,"one, ""two"""\r\nb,"three\r\n\r\nfour\nfive"\r\n\r\n"c",plain "quotes" stay\r\nd,\r\n';
    const { records, lines } = await readContent("c.csv", content, "corpus");
    expect(records).toEqual(['a||one, "two"', "b||three\r\n\r\nfour\nfive", 'c||plain "quotes" stay', "d||"]);
    expect(lines).toEqual([2, 3, 8, 9]);
  });

  test("any separator and header can be named", async () => {
    const options = { delimiter: ";", header: true, fields: { id: "key", text: "body" } };
    expect((await readContent("x.txt", 'body;key\n"a;b";k\n', "corpus", options)).records).toEqual(["k||a;b"]);
    const plain = { delimiter: "|", header: false };
    expect((await readContent("x.txt", "id|text\n", "corpus", plain)).records).toEqual(["id||text"]);
  });

  test("a quote that nobody closes is an error with its line, also when bad lines are left out", async () => {
    for (const isLenient of [false, true]) {
      const read = readContent("c.csv", 'a,one\nb,"two\nc,three\n', "corpus", { isLenient });
      await expect(read).rejects.toMatchObject({ code: "DATA", message: expect.stringMatching(/c\.csv:2: a quote/) });
    }
  });

  test("a bad line inside quotes costs its record and no other", async () => {
    const content = Buffer.concat([Buffer.from('a,"x\n'), Buffer.from([0xff]), Buffer.from('"\nb,y\n')]);
    const { records, skipped } = await readContent("c.csv", content, "corpus", { isLenient: true });
    expect(records).toEqual(["b||y"]);
    expect(skipped).toEqual(["2: the line is not valid UTF-8."]);
  });

  test("what is written by the rules is read back", async () => {
    const cell = fc.string({ unit: fc.constantFrom("a", '"', ",", "\n", "\r\n", "é", " ", "\t"), maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(fc.array(cell, { minLength: 1, maxLength: 8 }), fc.boolean(), async (texts, isCrLf) => {
        const end = isCrLf ? "\r\n" : "\n";
        const quote = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
        const content = texts.map((text, row) => `d${row},${quote(text)}${end}`).join("");
        const { records } = await readContent("c.csv", content, "corpus");
        expect(records).toEqual(texts.map((text, row) => `d${row}||${text}`));
      }),
      { numRuns: 100 },
    );
  });

  test("a rare quote or separator is not searched for to the end of the file for every line", async () => {
    const searchedBy = async (cut: CellCutter, end: string): Promise<number> => {
      const content = `the-id-of-a-query${end}\n`.repeat(20_000);
      const input = new InputFile(newCollection().write("c.csv", content), { isLenient: false });
      const { indexOf } = Buffer.prototype;
      let searched = 0;
      const spy = vi.spyOn(Buffer.prototype, "indexOf").mockImplementation(function (this: Buffer, byte, from = 0) {
        const found = indexOf.call(this, byte as number, from as number);
        searched += (found === -1 ? this.length : found) - (from as number);
        return found;
      });
      let count = 0;
      await cut(input, () => (count += 1));
      spy.mockRestore();
      expect(count).toBe(20_000);
      return searched / content.length;
    };
    for (const [cut, end] of [
      [cutCsv(0x2c), ",1"],
      [cutCsv(0x2c), ""],
      [cutAt(0x09), ""],
    ] as const) {
      const times = await searchedBy(cut, end);
      expect(times).toBeGreaterThan(0.5);
      // Once for each byte that is looked for: line ends, quotes, separators.
      expect(times).toBeLessThan(5);
    }
  });
});
