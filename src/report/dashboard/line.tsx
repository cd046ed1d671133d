/** The dashboard's two building blocks: a line that never wraps, and a cell of exact width. */
import { Box, Text } from "ink";
import { type Context, createContext, type ReactNode, useContext } from "react";
import { chooseTheme, type Theme, type ToneName } from "./theme.js";

export const ThemeContext: Context<Theme> = createContext(chooseTheme({}));

/** One line of the frame; what does not fit is cut with "…". */
export function Line({ children }: { readonly children: ReactNode }) {
  return (
    <Box height={1} flexShrink={0} overflow="hidden">
      {children}
    </Box>
  );
}

interface SpanProps {
  readonly tone?: ToneName;
  readonly children: string;
}

/** Text that takes its own width, or less where the line is too narrow. */
export function Span({ tone = "plain", children, cut = "end" }: SpanProps & { readonly cut?: "end" | "middle" }) {
  const theme = useContext(ThemeContext);
  return (
    <Text wrap={cut === "end" ? "truncate-end" : "truncate-middle"} {...theme[tone]}>
      {children}
    </Text>
  );
}

/** Text in a column of exact width, with one blank column after it. */
export function Cell(props: SpanProps & { readonly width: number; readonly align?: "left" | "right" }) {
  const { tone = "plain", width, align = "left", children } = props;
  return (
    <Box width={width} flexShrink={0} marginRight={1} justifyContent={align === "left" ? "flex-start" : "flex-end"}>
      <Span tone={tone}>{children}</Span>
    </Box>
  );
}
