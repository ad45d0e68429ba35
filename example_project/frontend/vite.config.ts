import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

export default defineConfig(({ command }) => ({
  plugins: [react()],
  base: command === "build" ? "/static/example_project/frontend/" : "/",
  build: { outDir: "../static/example_project/frontend", emptyOutDir: true },
  resolve: { dedupe: ["react"] }, // twotoken is a link to a folder outside this one
  server: { proxy: { "/api": { target: "http://127.0.0.1:8000", changeOrigin: false } } },
}));
