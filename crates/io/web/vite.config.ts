import { fileURLToPath } from "node:url";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// `npm run dev` shows the pages with live reload: the console at `/`, fed by a coordinator on this
// machine, and the agents' page at `/agent.html`, fed by a node.
const coordinator = process.env.DIALMESH_API ?? "http://127.0.0.1:7480";
const node = process.env.DIALMESH_NODE ?? "http://127.0.0.1:7580";
const page = (name: string) => fileURLToPath(new URL(`pages/${name}.html`, import.meta.url));

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
    rollupOptions: { input: { console: page("index"), agent: page("agent") } },
  },
  server: { proxy: { "/api": coordinator, "/agent/v1": { target: node, ws: true } } },
  test: { environment: "node", include: ["**/*.test.ts"] },
});
