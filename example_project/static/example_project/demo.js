// The demo page. It uses twotoken's client, and shows the client's real requests and events.
import { createClient } from "../twotoken/client.js";
import { confirmIdentity } from "./confirm.js";
import { $, announce, describe, hide, onClick, write } from "./dom.js";
import { nameTokensBy, note, spoil, traffic, watchedFetch } from "./requests.js";
import { showSessions } from "./sessions.js";
import { stageTheft } from "./theft.js";
import { accessName, clearTokens, renewAccess, showFamily } from "./tokens.js";

const ME = "/api/me/";
const LOGIN = "/api/auth/login/";
const REFRESH = "/api/auth/refresh/";
const STEP_UP = "/api/auth/reauthenticate/";
const SESSIONS = "/api/auth/sessions/";
const RETRY = 3_000; // milliseconds between retries while the server does not answer
const LOOK = 1_000; // at least so many milliseconds are between two reads of the session's data
const ENDS = {
  logout: "Logged out. The server has revoked the session and deleted the cookie.",
  replaced: "Logged out: somebody has logged in again with this browser.",
  revoked: "Logged out by the server: somebody revoked the session on another page or in the admin, or a copy of its token was used.",
  reused: "Logged out by the server: an old refresh token was used again, so somebody has a copy.",
  expired: "The session has expired: it was not used for too long, or reached its maximum age.",
  missing: "Logged out: the session was revoked, and its cookie is gone.",
  password_changed: "Logged out: the password was changed. Log in with the new one.",
  user_inactive: "Logged out: this user was deactivated.",
  wrong_device: "Logged out: this browser has lost the key that the session is bound to.",
};

const client = createClient({ authUrl: "/api/auth/", onStepUp: confirmIdentity }, { fetch: watchedFetch });
let isOwn = false; // whether the next access token comes from a request of this tab
let isAway = false; // whether the server is not answering
let lastLook = 0;
let nextLook;
let retry;

nameTokensBy(accessName);
client.addEventListener("sessionstarted", () => showParts(true));
client.addEventListener("tokenchanged", ({ detail }) => {
  if (!isOwn) note("Another tab has refreshed and shared its new access token.");
  isOwn = false;
  renewAccess(detail.expiresIn, client.claims);
  look().catch(() => {});
});
client.addEventListener("sessionended", ({ detail }) => {
  clearTimeout(retry);
  clearTimeout(nextLook);
  clearTokens();
  showSessions([], revokeSession);
  showParts(false);
  announce(ENDS[detail.reason] ?? `Logged out: ${detail.reason}.`, detail.reason === "logout" ? "good" : "bad");
});
traffic.addEventListener("answered", ({ detail: { path, status } }) => {
  if ([LOGIN, REFRESH, STEP_UP].includes(path)) isOwn = status === 200;
  if (path === REFRESH) noticeRefresh(status);
});

// Read the family's generation and the sessions. Not more often than LOOK, even if tokens expire very quickly.
async function look() {
  clearTimeout(nextLook);
  const wait = lastLook + LOOK - Date.now();
  if (wait > 0) {
    nextLook = setTimeout(() => look().catch(() => {}), wait);
    return;
  }
  lastLook = Date.now();
  const [family, sessions] = await Promise.all([client.fetch("/api/family/"), client.fetch(SESSIONS)]);
  if (!client.isAuthenticated) return;
  if (family.ok) showUser(await family.json());
  if (sessions.ok) showSessions(await sessions.json(), revokeSession);
}

function showUser(family) {
  write($("who"), family.username);
  showFamily(family);
}

// Revoke a session. If it is the page's own, don't look: the demo shows that a page notices it at its next request.
async function revokeSession(id) {
  const isOwnSession = client.claims?.sid === id;
  clearTimeout(nextLook);
  const response = await client.fetch(`${SESSIONS}${id}/`, { method: "DELETE" });
  if (!isOwnSession) await lookAgain();
  return response;
}

async function lookAgain() {
  lastLook = 0;
  await look();
}

// The user stays logged in if no answer comes, or one that does not say whether the session is active.
function noticeRefresh(status) {
  if (status === 200 && isAway) announce("The server answers again. You are still logged in.", "good");
  isAway = status !== 200 && status !== 401;
  if (!isAway) return;
  announce(`${status ? `The server answered ${status}` : "The server does not answer"}. You stay logged in.`, "bad");
  restoreLater();
}

function restoreLater() {
  clearTimeout(retry);
  retry = setTimeout(restore, RETRY);
}

async function restore() {
  try {
    showParts(await client.restore());
  } catch {
    showParts(client.isAuthenticated);
    restoreLater();
  }
}

// Show the login form or the parts of a session, and move the focus out of what is hidden.
function showParts(isIn) {
  const parts = [...document.querySelectorAll("[data-session]")];
  const [shown, gone] = isIn ? [parts, [$("login-part")]] : [[$("login-part")], parts];
  for (const part of shown) part.hidden = false;
  hide(gone, shown[0].querySelector("input[type=password], button"));
}

async function call(path) {
  const response = await client.fetch(path);
  return response.status;
}

async function callSpoilt(count) {
  if (client.claims) spoil(ME, count);
  return Promise.all(Array.from({ length: count }, () => call(ME)));
}

// The call itself may show that the session was revoked. Its part of the page is then hidden, so announce the text.
function tell(text) {
  write($("call-says"), text);
  if (!client.isAuthenticated) announce(`${text} ${$("status").textContent}`, "bad");
}

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  try {
    await client.login(Object.fromEntries(new FormData(form)));
    form.elements.password.value = "";
    announce("Logged in. You have both tokens now.", "good");
  } catch (error) {
    announce(describe(error), "bad");
  }
});
$("email").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { email } = event.target.elements;
  const body = JSON.stringify({ email: email.value });
  try {
    const response = await client.fetch("/api/me/email/", { method: "PUT", headers: { "Content-Type": "application/json" }, body });
    const said = { 200: [`The e-mail address is ${email.value} now.`, "good"], 401: ["The e-mail address was not changed.", ""] };
    announce(...(said[response.status] ?? [`The answer was ${response.status}.`, "bad"]));
  } catch (error) {
    announce(describe(error), "bad");
  }
});
onClick($("logout"), () => client.logout());
onClick($("logout-all"), () => client.logoutAll());
onClick($("revoke-others"), async () => {
  const response = await client.fetch(SESSIONS, { method: "DELETE" });
  await lookAgain();
  announce(response.ok ? "All other sessions are revoked." : `The answer was ${response.status}.`, response.ok ? "good" : "bad");
});
onClick($("call"), async () => {
  const status = await call(ME);
  tell(status === 200 ? `200: ${accessName()} was accepted.` : `${status}: not authenticated. Log in first.`);
});
onClick($("call-spoilt"), async () => {
  const [status] = await callSpoilt(1);
  tell(status === 200 ? "200 in the end: the call was refused, the token was refreshed, and the call was repeated." : `${status}: log in first.`);
});
onClick($("call-ten"), async () => {
  const good = (await callSpoilt(10)).filter((status) => status === 200).length;
  tell(good ? `${good} of 10 succeeded. All ten were refused first, and one refresh was enough for all.` : "401: log in first.");
});
onClick($("call-both"), async () => {
  const stateless = await call(ME);
  const revocable = await call("/api/me/revocable/");
  tell(`The stateless route answers ${stateless}, the revocable route answers ${revocable}.`);
});

$("curl").textContent = `curl -X POST ${location.origin}/api/auth/refresh/ -H "Cookie: PASTE-IT-HERE"`;
stageTheft();
restore();
