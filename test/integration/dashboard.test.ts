/** The dashboard on a real pseudo terminal: drawn, resized, and off again on every way out. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("../..", import.meta.url));
const showCursor = "\u001b[?25h";
const hideCursor = "\u001b[?25l";

let built: string;
let demo: string;

beforeAll(async () => {
  // Inside the checkout, so that the built demo finds its packages.
  built = await mkdtemp(join(root, "test", ".dashboard-"));
  const config = {
    extends: join(root, "tsconfig.json"),
    compilerOptions: { rootDir: root, outDir: built, declaration: false, sourceMap: false, noCheck: true },
    include: [join(root, "test/fixtures/report-demo.ts")],
  };
  await writeFile(join(built, "tsconfig.json"), JSON.stringify(config));
  await execa("node", [join(root, "node_modules/typescript/bin/tsc"), "-p", join(built, "tsconfig.json")]);
  demo = join(built, "test/fixtures/report-demo.js");
});
afterAll(async () => {
  await rm(built, { recursive: true });
});

interface Step {
  readonly after: string;
  readonly keys?: string;
  readonly signal?: string;
  readonly columns?: number;
  readonly rows?: number;
}

interface Seen {
  readonly output: string;
  /** Negative: the number of the signal that ended it. */
  readonly status: number | null;
  readonly wasRaw: boolean;
  readonly isRestored: boolean;
  readonly stepsLeft: number;
}

const onTerminal = (args: readonly string[], steps: readonly Step[]) => run([process.execPath, demo, ...args], steps);

/** Goes on as fast as it can once the dashboard was seen. */
const HURRY = [["--speed", "1", "--hurry", "SIGUSR2"], [{ after: "stop and save", signal: "SIGUSR2" }]] as const;

/** A shell with job control; in its script "$0" "$1" is the demo. */
const inShell = (script: string, steps: readonly Step[]) =>
  run(["bash", "--norc", "-mc", script, process.execPath, demo], steps);

async function run(command: readonly string[], steps: readonly Step[]): Promise<Seen> {
  const plan = { command, columns: 80, rows: 24, steps };
  const env = { CI: undefined, NO_COLOR: undefined, NODE_ENV: undefined, TERM: "xterm-256color" };
  const { stdout } = await execa("python3", [join(root, "test/fixtures/pty-run.py"), JSON.stringify(plan)], { env });
  return JSON.parse(stdout) as Seen;
}

/** Raw mode was on and is off again, the cursor shows, and the last words are plain lines. */
function expectRestored(seen: Seen): void {
  expect(seen).toMatchObject({ wasRaw: true, isRestored: true, stepsLeft: 0 });
  expect(seen.output).toContain(hideCursor);
  expect(seen.output.lastIndexOf(showCursor)).toBeGreaterThan(seen.output.lastIndexOf(hideCursor));
}

/** What follows the last frame. */
const leftBehind = ({ output }: Seen) =>
  stripVTControlCharacters(output.slice(output.lastIndexOf(`\u001b[0m${showCursor}`))).replaceAll("\r\n", "\n");

/** From the start of a piece of output to the end of the first frame in it. */
function firstFrame(output: string): string {
  const text = stripVTControlCharacters(output).replaceAll("\r\n", "\n");
  return text.slice(0, text.indexOf("stop and save") + "stop and save".length);
}

test("a run to its end leaves the table and the run folder instead of a frame", async () => {
  const seen = await onTerminal(...HURRY);
  expectRestored(seen);
  expect(seen.status).toBe(0);
  expect(leftBehind(seen)).toMatchInlineSnapshot(`
    "run scifact-minilm
    warning: 40 passages have the same text (See prepared.json for their ids.)

                     nDCG@10   RR@10   R@100
    ───────────────  ───────  ──────  ──────
    before training   0.6451  0.6051  0.9253
    after training    0.7103  0.6703  0.9253

    done in 5 min 19 s
    run folder: runs/scifact-minilm
    "
  `);
});

test("q stops and saves: exit status 130", async () => {
  const seen = await onTerminal(["--speed", "1"], [{ after: "stop and save", keys: "q" }]);
  expectRestored(seen);
  expect(seen.status).toBe(130);
  expect(leftBehind(seen)).toContain("stopped after");
});

test("Ctrl-C twice stops now, also when the first one is not obeyed yet", async () => {
  const seen = await onTerminal(
    ["--speed", "1", "--end", "ignore"],
    [
      { after: "stop and save", keys: "\u0003" },
      { after: "stopping and saving", keys: "\u0003" },
    ],
  );
  expectRestored(seen);
  expect(seen.status).toBe(130);
});

test("two presses that arrive together count as two", async () => {
  const seen = await onTerminal(["--speed", "1", "--end", "ignore"], [{ after: "stop and save", keys: "qq" }]);
  expectRestored(seen);
  expect(seen.status).toBe(130);
});

test.each([
  ["SIGTERM that the program handles", "normal", 130],
  ["SIGTERM that nobody handles", "default", -15],
  ["SIGHUP that nobody handles", "default", -1],
])("the terminal is restored after %s", async (name, end, status) => {
  const signal = name.slice(0, name.indexOf(" "));
  const seen = await onTerminal(["--speed", "1", "--end", end], [{ after: "stop and save", signal }]);
  expectRestored(seen);
  expect(seen.status).toBe(status);
});

test.each([
  ["throw", 1, "thrown on purpose"],
  ["exit", 7, "run folder: runs/scifact-minilm"],
])("the terminal is restored when the program ends with %s", async (end, status, words) => {
  const [args, steps] = HURRY;
  const seen = await onTerminal([...args, "--end", end], steps);
  expectRestored(seen);
  expect(seen.status).toBe(status);
  expect(leftBehind(seen)).toContain(words);
});

test("after a resize the frame fits the new size, and the scrollback is not wiped", async () => {
  const steps = [
    { after: "stop and save", columns: 50, rows: 16 },
    { after: "\u001b[H" },
    { after: "stop and save", columns: 100, rows: 30 },
    { after: "\u001b[H" },
    { after: "stop and save", keys: "q" },
  ];
  const seen = await onTerminal(["--speed", "1"], steps);
  expectRestored(seen);
  expect(seen.output).not.toContain("\u001b[3J");
  // Each resize goes home twice: to erase, and to draw.
  const [, , narrow = "", , wide = ""] = seen.output.split("\u001b[H").map(firstFrame);
  expect(Math.max(...narrow.split("\n").map((line) => line.length))).toBe(50);
  expect(narrow.split("\n").length).toBeLessThan(16);
  expect(Math.max(...wide.split("\n").map((line) => line.length))).toBe(100);
});

describe("a job of a shell", () => {
  const settings = `stty -a | grep -o -e '-\\?icanon' -e '-\\?echo '`;

  test("that begins in the background gets plain lines, and is not stopped for touching the terminal", async () => {
    const seen = await inShell('"$0" "$1" --speed 1000 & wait $!; echo "status $?"', []);
    expect(seen).toMatchObject({ wasRaw: false, isRestored: true });
    expect(seen.output).not.toContain("\u001b");
    expect(seen.output).toMatch(/run folder: runs\/scifact-minilm[^]*status 0/);
  });

  test("gives the terminal back on Ctrl-Z, and goes on with the dashboard and its keys", async () => {
    const seen = await inShell(`"$0" "$1" --speed 1; echo "status $?"; ${settings}; fg; echo "status $?"`, [
      { after: "stop and save", keys: "\u001a" },
      { after: "echo" },
      { after: "stop and save", keys: "q" },
    ]);
    expectRestored(seen);
    const [, suspended = "", after = ""] = seen.output.split(`\u001b[0m${showCursor}`);
    expect(stripVTControlCharacters(suspended)).toMatch(/status 148\s+icanon\s+echo/);
    expect(suspended.slice(suspended.indexOf("icanon"))).toContain(hideCursor);
    expect(after).toMatch(/stopped after [^]*status 130/);
  });

  test("that goes on in the background tells plain lines, whatever is typed meanwhile", async () => {
    const seen = await inShell('"$0" "$1" --speed 1 --hurry SIGCONT; bg; wait $!; wait; jobs -l; echo over', [
      { after: "stop and save", keys: "\u001a" },
      { after: "Stopped" },
      { after: "step ", keys: "ls\r" },
    ]);
    expectRestored(seen);
    expect(seen.output).toMatch(/run folder: runs\/scifact-minilm[^]*Done[^]*over/);
  });

  test("that a SIGSTOP suspended has its keys again", async () => {
    // The settings of the terminal are put back as an interactive shell does it.
    const seen = await inShell('own=$(stty -g); "$0" "$1" --speed 1; stty "$own"; fg; echo "status $?"', [
      { after: "stop and save", signal: "SIGSTOP" },
      { after: "Stopped" },
      { after: "stop and save", keys: "q" },
    ]);
    expectRestored(seen);
    expect(seen.output).toContain("status 130");
  });
});

test("Ctrl-Z where no shell is there to go on leaves the dashboard as it is", async () => {
  const seen = await onTerminal(
    ["--speed", "1"],
    [
      { after: "stop and save", keys: "\u001a" },
      { after: `\u001b[0m${showCursor}` },
      { after: "stop and save", keys: "q" },
    ],
  );
  expectRestored(seen);
  expect(seen.status).toBe(130);
});

test("a pipe gets lines without any escape code", async () => {
  const { stdout } = await execa(process.execPath, [demo, "--speed", "1000"], { env: { CI: undefined } });
  expect(stdout).not.toContain("\u001b");
  expect(stdout).toContain("run folder: runs/scifact-minilm");
});

test.each(["plain", "json"])(
  "a reader that leaves after a line ends a %s run like Ctrl-C, without a trace",
  async (kind) => {
    const command = `"${process.execPath}" "${demo}" --speed 20 --reporter ${kind} | head -1; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = await execa("bash", ["-c", command]);
    expect(stdout.split("\n")).toHaveLength(2);
    expect(stdout.split("\n")[1]).toBe("130");
    expect(stderr).toBe("");
  },
);
