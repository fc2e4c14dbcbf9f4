import { createTheme } from "@mantine/core";

/** How the component library looks on every page. */
export const theme = createTheme({
  primaryColor: "cyan",
  primaryShade: { light: 9, dark: 6 },
  // Dark words on light buttons: white ones on the dark scheme's cyan are too pale to read.
  autoContrast: true,
  defaultRadius: "md",
  fontFamily:
    'system-ui, -apple-system, "Segoe UI", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", sans-serif',
});

// The server writes it into each response; without it the policy refuses the library's styles.
export const nonce = document.querySelector<HTMLElement>('meta[property="csp-nonce"]')?.nonce ?? "";
