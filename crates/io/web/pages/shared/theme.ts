import { createTheme } from "@mantine/core";

/** How the component library looks on every page. */
export const theme = createTheme({
  primaryColor: "cyan",
  // Dark enough for white words in both schemes.
  primaryShade: 9,
  defaultRadius: "md",
  fontFamily:
    'system-ui, -apple-system, "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif',
});

// The server writes it into each response; without it the policy refuses the library's styles.
export const nonce = document.querySelector<HTMLElement>('meta[property="csp-nonce"]')?.nonce ?? "";
