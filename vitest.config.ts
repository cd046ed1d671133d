/** How the TypeScript tests run: what is quick side by side, what starts processes one file at a time. */
import { fileURLToPath } from "node:url";
import { configDefaults, defineConfig } from "vitest/config";

const alias = { quarry: fileURLToPath(new URL("src/index.ts", import.meta.url)) };
// No test may depend on a network, on a GPU, nor on the machine being quiet.
const env = { HF_HUB_OFFLINE: "1", CUDA_VISIBLE_DEVICES: "", NODE_ENV: "production", CI: "1" };

const shared = {
  ...{ alias, env, environment: "node" as const, pool: "forks" as const },
  // It ends a test that hangs; a second, which is the default, is no time on a loaded machine.
  expect: { poll: { timeout: 60_000 } },
};

/** Where properties are tried: with the same examples each time. */
const DRAWS = "test/fixtures/draws.ts";

/** Those of test/integration that train: a project of their own, whose files share what ranks are forked from. */
const TRAINING = "test/integration/{edited-plugin,golden-curves,refresh*,replay,torn-curve,train*}.test.ts";

/**
 * A project that starts processes of its own: one file at a time, with time for a loaded machine.
 *
 * @param isolate whether each file has a process of its own; in a common one modules are loaded once, and what workers
 * are forked from is started once
 */
const sequential = (name: string, testTimeout: number, isolate = true, files = {}) => ({
  resolve: { alias },
  test: {
    ...shared,
    name,
    include: [`test/${name}/**/*.test.ts`],
    ...files,
    fileParallelism: false,
    isolate,
    testTimeout,
    hookTimeout: testTimeout,
  },
});

export default defineConfig({
  test: {
    projects: [
      {
        resolve: { alias },
        test: {
          ...shared,
          name: "unit",
          include: ["test/unit/**/*.test.{ts,tsx}"],
          // Vitest compiles JSX for React's development build, which React chooses by this when it loads.
          env: { ...env, NODE_ENV: "test" },
          setupFiles: DRAWS,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          // With each file loading everything anew this stage took 290 instead of 229 s beside another one.
          isolate: false,
        },
      },
      sequential("protocol", 120_000, true, { setupFiles: DRAWS }),
      sequential("integration", 300_000, false, { exclude: [...configDefaults.exclude, TRAINING] }),
      sequential("training", 300_000, false, { include: [TRAINING] }),
      sequential("fault", 300_000, false),
      sequential("e2e", 600_000, false),
      // The whole matrix of kills: `npm run drills`, no part of `npm test`.
      sequential("drills", 3_600_000),
    ],
  },
});
