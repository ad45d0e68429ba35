// What all parts of the page use. Text goes in as text: nothing that a server says becomes markup.

export const $ = (id) => document.getElementById(id);

/** Make an element, with attributes and what is in it. */
export function el(name, attributes = {}, ...content) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...content);
  return element;
}

/** A token in a line of tokens. */
export function chip(name, text, isNow) {
  return el("li", isNow ? { class: "now", "aria-current": "true" } : {}, el("b", {}, name), text);
}

/** Change a text only where it differs, so that screen readers and selections are left in peace. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Hide something; the focus that was in it goes to another element, and is not lost. */
export function hide(element, refuge) {
  const hadFocus = element.contains(document.activeElement);
  element.hidden = true;
  if (hadFocus) refuge.focus();
}

/** Say what has happened to the session. */
export function announce(text, kind = "") {
  write($("status"), text);
  $("status").className = kind;
}

/** Do something at a button's click, once at a time. The button keeps the focus, so it is not disabled meanwhile. */
export function onClick(button, work) {
  button.addEventListener("click", async () => {
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (error) {
      announce(describe(error), "bad");
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
}

/** What went wrong, in words. */
export function describe(error) {
  if (error.status === 429) return `Too many tries. Wait ${error.retryAfter} seconds.`;
  if (error.fields) return Object.entries(error.fields).map(([field, texts]) => `${field}: ${texts}`).join(" ");
  if (error.status) return error.message;
  return "The server does not answer.";
}

const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });
const absolute = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

/** "in 7 days" */
export function away(iso) {
  const seconds = (new Date(iso) - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size * 0.95) ?? UNITS.at(-1);
  return relative.format(Math.round(seconds / size), unit);
}

/** "in 7 days, Dec 1, 2026, 8:52 AM" */
export function moment(iso) {
  return `${away(iso)}, ${absolute.format(new Date(iso))}`;
}
