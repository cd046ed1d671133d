/** Writes test/protocol/golden/ from messages.ts; run it by hand when the wire changes: a diff here is a change of the wire. */
import { writeFileSync } from "node:fs";
import { createJiti } from "jiti";

const jiti = createJiti(import.meta.url);
const { examples } = await jiti.import("./messages.ts");
const { encodeMessage } = await jiti.import("../../src/protocol/codec.ts");
const { PROTOCOL_VERSION: v } = await jiti.import("../../src/protocol/version.ts");
for (const { name, direction, message, frames } of examples) {
  const parts = encodeMessage(message, frames).map((part) => Buffer.from(part).toString("hex"));
  writeFileSync(
    new URL(`golden/${name}.json`, import.meta.url),
    `${JSON.stringify({ direction, message: { v, ...message }, parts }, null, 2)}\n`,
  );
}
