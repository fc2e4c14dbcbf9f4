import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// `npm run dev` shows the pages with live reload; the API comes from a coordinator on this machine.
const coordinator = process.env.DIALMESH_API ?? "http://127.0.0.1:7480";

export default defineConfig({
  root: "pages",
  // Relative to the place below which everything is served.
  base: "/",
  // The server replaces it in each response by the nonce of that response's policy.
  html: { cspNonce: "__CSP_NONCE__" },
  plugins: [react()],
  build: {
    outDir: "../dist",
    emptyOutDir: true,
    target: "es2022",
    // Everything must come from files: the policy allows no inline script.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy: { "/api": coordinator } },
  test: { environment: "node", include: ["**/*.test.ts"] },
});
