// Helpers for all parts of the page. They insert text as text: a server's answer never becomes markup.

export const $ = (id) => document.getElementById(id);

/** Create an element with attributes and content. */
export function el(name, attributes = {}, ...content) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...content);
  return element;
}

/** Create the list item of a token. If `end` says why the token is no longer good, its name is struck through. */
export function chip(name, { end = "", text = "", isNow = false }) {
  const label = end ? [el("s", {}, name), el("span", { class: "unseen" }, ` ${end}`)] : [el("b", {}, name)];
  return el("li", isNow ? { class: "now", "aria-current": "true" } : {}, ...label, text);
}

/** Set a text only if it differs, so that screen readers don't repeat it and selections stay. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Hide elements. If one has the focus, move the focus to `refuge`. */
export function hide(elements, refuge) {
  const hadFocus = elements.some((element) => element.contains(document.activeElement));
  for (const element of elements) element.hidden = true;
  if (hadFocus) refuge.focus();
}

const GOOD_NEWS = 8_000; // milliseconds until good news disappears, because it covers a part of the page
let fading;

/** Show a message about the session. Good news disappears, bad news stays. */
export function announce(text, kind = "") {
  clearTimeout(fading);
  write($("status"), text);
  $("status").className = kind;
  if (kind === "good") fading = setTimeout(() => write($("status"), ""), GOOD_NEWS);
}

/** Run `work` on a click, one run at a time. The button is not disabled meanwhile, because it would lose the focus. */
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

/** Describe an error in words. */
export function describe(error) {
  if (error.status === 429) return `Too many tries. Try again in ${error.retryAfter} seconds.`;
  if (error.fields) return Object.entries(error.fields).map(([field, texts]) => `${field}: ${texts}`).join(" ");
  if (error.status) return error.message;
  return "The server does not answer.";
}

const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "always" });

/** Describe how far away a time is, such as "in 7 days". */
export function away(iso) {
  const seconds = (new Date(iso) - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size * 0.95) ?? UNITS.at(-1);
  return relative.format(Math.round(seconds / size), unit);
}
