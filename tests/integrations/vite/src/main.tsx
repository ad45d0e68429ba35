// The page's component, and beside it what the recipes for Vue and Svelte see.
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { watchEffect } from "vue";
import App from "./App";
import { session as inSvelte } from "./svelte";
import { session as inVue } from "./vue";

const { dataset } = document.body;
watchEffect(() => { dataset.vue = inVue.value.claims?.sub ?? ""; }, { flush: "sync" });
inSvelte.subscribe(({ claims }) => { dataset.svelte = claims?.sub ?? ""; });
createRoot(document.getElementById("root")!).render(<StrictMode><App /></StrictMode>);
