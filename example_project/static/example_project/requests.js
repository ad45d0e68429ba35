// Every request of this page goes through here on its way, and is told of as it happens.
import { $, el } from "./dom.js";

const SHOWN = 20;
const LOOKS = ["/api/family/", "/api/auth/sessions/"];
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** Tells "answered", with the path and the status; 0 is none. */
export const traffic = new EventTarget();

const spoilt = { path: "", left: 0 };
const refused = new Map(); // how many requests to a place wait for their second try
let tokenName = () => "";

/** Have the next requests to a path carry a token with one letter changed. */
export function spoil(path, count) {
  Object.assign(spoilt, { path, left: count });
}

/** Tell how the current access token is called. */
export function nameTokensBy(name) {
  tokenName = name;
}

/** The browser's fetch, watched. */
export async function watchedFetch(input, init) {
  const request = new Request(input, init);
  const entry = begin(request);
  try {
    const response = await fetch(request);
    await end(entry, response);
    return response;
  } catch (error) {
    finish(entry, 0, "No answer. That logs nobody out: the next try uses the same key.");
    throw error;
  }
}

/** Write a line that is no request. */
export function note(text) {
  show(el("li", { class: "note" }, stamp(), el("span", {}, text)));
}

function begin(request) {
  const path = new URL(request.url).pathname;
  const place = `${request.method} ${path}`;
  const token = request.headers.get("Authorization");
  const entry = { path, place, carries: token ? tokenName() : "", isAgain: false, item: null };
  if (token && path === spoilt.path && spoilt.left > 0) {
    spoilt.left -= 1;
    request.headers.set("Authorization", changeOneLetter(token));
    entry.carries += " with a wrong letter";
  } else if (refused.get(place) > 0) {
    refused.set(place, refused.get(place) - 1);
    entry.isAgain = true;
  }
  entry.item = el("li", {}, stamp(), el("code", {}, place), el("b", { class: "pill" }, "…"), el("span"));
  if (!isLook(entry, request.method)) show(entry.item);
  return entry;
}

async function end(entry, response) {
  const isRefusal = response.status === 401;
  const reason = isRefusal ? ((await response.clone().json().catch(() => null))?.reason ?? "") : "";
  const isRetried = isRefusal && entry.carries && !entry.isAgain;
  if (isRetried) refused.set(entry.place, (refused.get(entry.place) ?? 0) + 1);
  finish(entry, response.status, explain(entry, response.status, reason));
}

function finish({ path, item }, status, text) {
  const [pill, words] = item.querySelectorAll("b, span");
  pill.textContent = status || "none";
  pill.classList.add(status >= 200 && status < 300 ? "good" : "bad");
  words.textContent = text;
  if (path.endsWith("/refresh/") && status === 401) refused.clear();
  traffic.dispatchEvent(new CustomEvent("answered", { detail: { path, status } }));
}

function explain({ path, carries, isAgain }, status, reason) {
  if (status === 429 || status === 503) return "Too busy: ask again later.";
  if (path.endsWith("/login/") && status === 200) return "Here are both tokens.";
  if (path.endsWith("/refresh/") && status === 200) return "A new access token, without a password.";
  if (path.endsWith("/refresh/") && status === 401) return `Refused (${reason}): log in again.`;
  if (path.includes("/logout/") && status === 204) return "The session is ended on the server too.";
  if (status === 401 && carries) return `${carries} was refused (${reason}).`;
  if (status === 401) return "Refused.";
  if (isAgain) return `The same once more, with ${carries}.`;
  return carries ? `Opened by ${carries}.` : "";
}

function isLook({ path }, method) {
  return method === "GET" && LOOKS.includes(path);
}

function show(item) {
  $("log").prepend(item);
  while ($("log").children.length > SHOWN) $("log").lastChild.remove();
}

function stamp() {
  return el("time", {}, clock.format(new Date()));
}

function changeOneLetter(header) {
  const at = header.length - 8;
  return header.slice(0, at) + (header[at] === "A" ? "B" : "A") + header.slice(at + 1);
}
