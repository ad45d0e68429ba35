// Every request of this page goes through this module, which shows it in the list of requests.
import { $, el } from "./dom.js";

const SHOWN = 20;
const STEP_UP = "insufficient_user_authentication";
const LOOKS = ["/api/family/", "/api/auth/sessions/"];
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

/** Dispatches "answered" with the path and the status; status 0: no answer. */
export const traffic = new EventTarget();

const spoilt = { path: "", left: 0 };
const refused = new Map(); // by method and path: how many refused requests the client will repeat
let tokenName = () => "";

/** Change one letter of the token in the next `count` requests to a path. */
export function spoil(path, count) {
  Object.assign(spoilt, { path, left: count });
}

/** Set the function that returns the current access token's name. */
export function nameTokensBy(name) {
  tokenName = name;
}

/** The browser's fetch, which also shows the request. */
export async function watchedFetch(input, init) {
  const request = new Request(input, init);
  const entry = begin(request);
  try {
    const response = await fetch(request);
    await end(entry, response);
    return response;
  } catch (error) {
    finish(entry, 0, "No answer. You stay logged in: the next try sends the same Idempotency-Key.");
    throw error;
  }
}

/** Add a line that is not a request. */
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
    entry.carries += " with a changed letter";
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
  const { reason = "", code } = (isRefusal && (await response.clone().json().catch(() => null))) || {};
  if (code === STEP_UP) return finish(entry, response.status, `${entry.carries} was accepted, but this route wants a more recent login.`);
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
  if (status === 429 || status === 503) return "The server is busy. Try again later.";
  if (path.endsWith("/login/") && status === 200) return "The server sent both tokens.";
  if (path.endsWith("/reauthenticate/") && status === 200) return "The server sent an access token with the time of this confirmation.";
  if (path.endsWith("/reauthenticate/") && status === 401 && !reason) return "The password is wrong.";
  if (path.endsWith("/refresh/") && status === 200) return "A new access token, without a password.";
  if (path.endsWith("/refresh/") && status === 401) return `Refused (${reason}): log in again.`;
  if (path.includes("/logout/") && status === 204) return "The session is revoked on the server too.";
  if (status === 401 && carries) return `${carries} was refused (${reason}).`;
  if (status === 401) return "Refused.";
  if (isAgain) return `The same request again, with ${carries}.`;
  return carries ? `${carries} was accepted.` : "";
}

function isLook({ path }, method) {
  return method === "GET" && LOOKS.includes(path);
}

function show(item) {
  $("requests").hidden = false;
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
