/** What a run makes of the stream it is given: others may use it too, listeners may fail, and the folder is let go of. */
import { EventEmitter } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { biEncoder, defineExperiment, EventStream, evaluate, type QuarryEvent, source } from "../../../src/index.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "quarry-events-"));
  // Ends the run when its data is looked through, before anything is started.
  await writeFile(join(folder, "corpus.jsonl"), "no JSON\n");
  await writeFile(join(folder, "queries.jsonl"), '{"_id":"q1","text":"a"}\n');
  await writeFile(join(folder, "qrels.tsv"), "query-id\tcorpus-id\tscore\nq1\td1\t1\n");
});
afterAll(() => rm(folder, { recursive: true }));

function experimentOf(name: string) {
  const data = source({ corpus: "corpus.jsonl", queries: "queries.jsonl", qrels: "qrels.tsv" });
  const places = { runDir: join(folder, name), cacheDir: join(folder, "cache") };
  return defineExperiment({ name, model: biEncoder("some/model"), evaluate: { data }, ...places }, { baseDir: folder });
}

async function recorded(name: string): Promise<QuarryEvent[]> {
  const text = await readFile(join(folder, name, "events.jsonl"), "utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as QuarryEvent);
}

test("of runs that share a stream each keeps its own events, and the stream hears all", async () => {
  const events = new EventStream();
  const heard: QuarryEvent[] = [];
  events.subscribe((event) => heard.push(event));
  const names = ["one", "other"];
  await Promise.allSettled(names.map((name) => evaluate(experimentOf(name), { events })));
  const started = (seen: readonly QuarryEvent[]) =>
    seen.flatMap((event) => (event.type === "runStarted" ? [event.name] : []));
  expect(started(heard).sort()).toEqual(names);
  for (const name of names) expect(started(await recorded(name))).toEqual([name]);
});

test.each(["runStarted", "error", "runFinished"])(
  "a listener that throws at %s is told once, to all, and changes nothing",
  async (type) => {
    const events = new EventStream();
    const heard: QuarryEvent[] = [];
    events.subscribe((event) => {
      if (event.type === type || event.type === "warning") throw new Error("not drawn");
    });
    events.subscribe((event) => heard.push(event));
    const name = `throws-at-${type}`;
    await expect(evaluate(experimentOf(name), { events })).rejects.toMatchObject({ code: "DATA" });
    const message = `a listener of events threw at ${type}: not drawn`;
    const told = (seen: readonly QuarryEvent[]) => seen.filter((event) => event.type === "warning");
    expect(told(heard)).toMatchObject([{ message }]);
    expect(told(await recorded(name))).toMatchObject([{ message }]);
    expect(heard.filter((event) => event.type === "runFinished")).toHaveLength(1);
    // The folder is free again.
    await expect(evaluate(experimentOf(name))).rejects.toMatchObject({ code: "DATA" });
  },
);

test("the rejection of a listener that is an async function is told as well", async () => {
  const events = new EventStream();
  const heard: QuarryEvent[] = [];
  events.subscribe((): unknown => Promise.reject(new Error("not stored")));
  events.subscribe((event) => heard.push(event));
  events.emit({ type: "notice", message: "hello", hint: null });
  await new Promise((resolve) => setImmediate(resolve));
  expect(heard).toMatchObject([{ type: "notice" }, { message: "a listener of events threw at notice: not stored" }]);
});

test.each([
  ["events", {}, "an EventStream or nothing, saw an object"],
  ["events", null, "an EventStream or nothing, saw null"],
  ["events", new EventEmitter(), "an EventStream or nothing, saw an object"],
  ["signal", new AbortController(), "an AbortSignal or nothing, saw an object"],
])("something else as %s is refused before there is a run folder", async (name, given, words) => {
  const experiment = experimentOf("refused");
  await expect(evaluate(experiment, { [name]: given } as object)).rejects.toMatchObject({
    code: "CONFIG",
    message: `options.${name}: expected ${words}`,
  });
  await expect(recorded("refused")).rejects.toMatchObject({ code: "ENOENT" });
});

test("what a run makes of an event is heard after it", () => {
  const heard: string[] = [];
  const stream = new EventStream();
  stream.subscribe(({ type }) => heard.push(type));
  const own = new EventStream(stream);
  own.subscribe(({ type }) => {
    if (type === "warning") own.emit({ type: "notice", message: "so be it", hint: null });
  });
  own.emit({ type: "warning", message: "look", hint: null });
  expect(heard).toEqual(["warning", "notice"]);
});
