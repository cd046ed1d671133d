/** The few colours of the dashboard, each with a meaning; none at all where NO_COLOR asks for it. */

/** How a text is set; spread into Ink's Text. */
interface Tone {
  readonly color?: string;
  readonly bold?: boolean;
  readonly dimColor?: boolean;
}

const colours = {
  plain: {},
  strong: { bold: true },
  quiet: { dimColor: true },
  active: { color: "cyan" },
  good: { color: "green" },
  warning: { color: "yellow" },
  error: { color: "red", bold: true },
} satisfies Record<string, Tone>;

/** What a text means. */
export type ToneName = keyof typeof colours;
export type Theme = Readonly<Record<ToneName, Tone>>;

const none: Theme = { plain: {}, strong: {}, quiet: {}, active: {}, good: {}, warning: {}, error: {} };

/** See https://no-color.org: any value but the empty one turns colour off. */
export function chooseTheme(env: NodeJS.ProcessEnv): Theme {
  return (env["NO_COLOR"] ?? "") === "" ? colours : none;
}
