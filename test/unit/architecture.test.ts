/** The walls of the house: which room may import which, read from the sources themselves. */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const src = join(root, "src");

/**
 * Room → what it imports. "t" stands behind rooms of which it takes types only.
 * cli → index → pipeline → {training, pool, embeddings → data, rundir, report, python} → protocol → errors.
 */
const arrows: Record<string, readonly string[]> = {
  cli: ["index", "experiment", "python", "report", "counted", "home", "errors", "pipeline:t"],
  index: ["data", "experiment", "pipeline", "python", "report", "errors"],
  // A user's script imports "quarry"; the loader hands it the instance that is running.
  experiment: ["nearest", "tcp-address", "counted", "errors", "index:lazy"],
  pipeline: [
    "training",
    "pool",
    "embeddings",
    "data",
    "rundir",
    "report",
    "python",
    "experiment",
    "nearest",
    "counted",
    "json-digest",
    "file-digest",
    "make-folder",
    "errors",
    "protocol:t",
  ],
  embeddings: ["data", "rundir", "json-digest", "make-folder", "errors", "protocol:t"],
  training: ["pool", "protocol", "tcp-address", "counted", "errors", "data:t", "python:t", "report:t"],
  pool: [
    "exit",
    "process-stat",
    "tcp-address",
    "file-digest",
    "protocol",
    "errors",
    "experiment:t",
    "python:t",
    "report:t",
  ],
  data: ["nearest", "counted", "json-digest", "make-folder", "process-stat", "home", "errors", "experiment:t"],
  rundir: ["exit", "make-folder", "process-stat", "errors", "report:t"],
  report: ["counted", "process-stat", "errors:t"],
  python: ["home", "errors"],
  protocol: ["errors"],
  nearest: [],
  counted: [],
  "tcp-address": [],
  "json-digest": [],
  "file-digest": [],
  exit: [],
  "make-folder": [],
  "process-stat": [],
  home: ["errors"],
  errors: [],
};

interface Import {
  readonly from: string;
  readonly to: string;
  readonly kind: "" | ":t" | ":lazy";
}

function files(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.tsx?$/.test(name))
    .map((name) => join(folder, name))
    .sort();
}

function importsOf(file: string): Import[] {
  const text = readFileSync(file, "utf8");
  const target = (specifier: string): string => resolve(dirname(file), specifier).replace(/\.js$/, "");
  const found: Import[] = [];
  for (const match of text.matchAll(/^(?:import|export)\s+(type\s)?[^;"]*?from\s+"(\.[^"]+)"/gm)) {
    found.push({ from: file, to: target(match[2] ?? ""), kind: match[1] ? ":t" : "" });
  }
  for (const match of text.matchAll(/(typeof\s+)?import\("(\.[^"]+)"\)/g)) {
    found.push({ from: file, to: target(match[2] ?? ""), kind: match[1] ? ":t" : ":lazy" });
  }
  return found;
}

const roomOf = (path: string): string => (relative(src, path).split(sep)[0] ?? "").replace(/\.tsx?$/, "");
const all = files(src).flatMap(importsOf);
const crossing = all.filter(({ from, to }) => roomOf(from) !== roomOf(to));

function isAllowed({ from, to, kind }: Import): boolean {
  const allowed = arrows[roomOf(from)] ?? [];
  const room = roomOf(to);
  return allowed.includes(room) || (kind !== "" && allowed.includes(room + kind));
}

test("every room imports only the rooms that the arrows allow", () => {
  expect(all.length).toBeGreaterThan(100);
  const broken = crossing.filter((each) => !isAllowed(each));
  expect(broken.map(({ from, to }) => `${relative(src, from)} → ${relative(src, to)}`)).toEqual([]);
});

test("every room has its line, and every arrow is in use", () => {
  expect([...new Set(files(src).map(roomOf))].sort()).toEqual(Object.keys(arrows).sort());
  const used = new Set(crossing.map(({ from, to }) => `${roomOf(from)} → ${roomOf(to)}`));
  const listed = Object.entries(arrows).flatMap(([from, rooms]) =>
    rooms.map((room) => `${from} → ${room.split(":")[0] ?? ""}`),
  );
  expect(listed.filter((arrow) => !used.has(arrow))).toEqual([]);
});

test("no room stands in a circle with another one, the loader's late import aside", () => {
  const reach = (room: string, seen: Set<string>): Set<string> => {
    for (const next of arrows[room] ?? []) {
      const [name = "", how] = next.split(":");
      if (how === "lazy" || seen.has(name)) continue;
      seen.add(name);
      reach(name, seen);
    }
    return seen;
  };
  for (const room of Object.keys(arrows)) expect(reach(room, new Set()), room).not.toContain(room);
});

test("the dashboard draws what the report's state says and knows nothing else of Quarry", () => {
  const outside = all.filter(({ from, to }) => from.includes(join("report", "dashboard")) && roomOf(to) !== "report");
  expect(outside).toEqual([]);
});

test("models are opened in one Python file only", () => {
  const runtime = join(root, "py_runtime", "quarry_runtime");
  const opening = /\bfrom_pretrained\(|\btorch\.load\(|\bpickle\b|\beval\(|\bexec\(/;
  const found = readdirSync(runtime, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".py"))
    .filter((name) => opening.test(readFileSync(join(runtime, name), "utf8").replace(/^\s*#.*$|\.eval\(/gm, "")));
  // A model's card shows others how to open it.
  expect(found.filter((name) => !name.endsWith("card_usage.py"))).toEqual([join("guard", "load.py")]);
});

test("every file opens with a sentence on what it is for and stays below 400 lines", () => {
  const faults = files(src)
    .filter((file) => !file.includes(".generated."))
    .filter((file) => {
      const text = readFileSync(file, "utf8");
      return !/^(#!.*\n)?\/\*\*/.test(text) || text.split("\n").length > 401;
    });
  expect(faults.map((file) => relative(root, file))).toEqual([]);
});
