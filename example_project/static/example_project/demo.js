// The page, on twotoken's client. It watches the client's requests and events; what it shows has happened.
import { createClient } from "../twotoken/client.js";
import { $, announce, describe, hide, onClick, write } from "./dom.js";
import { nameTokensBy, note, spoil, traffic, watchedFetch } from "./requests.js";
import { showSessions } from "./sessions.js";
import { stageTheft } from "./theft.js";
import { accessName, clearTokens, renewAccess, showFamily } from "./tokens.js";

const ME = "/api/me/";
const LOGIN = "/api/auth/login/";
const REFRESH = "/api/auth/refresh/";
const SESSIONS = "/api/auth/sessions/";
const RETRY = 3_000; // milliseconds between tries while the server does not answer
const LOOK = 1_000; // and at least between looks
const ENDS = {
  logout: "Logged out. The server has ended the session, and the cookie is gone.",
  replaced: "Somebody else logged in with this browser.",
  revoked: "Logged out by the server: this session was ended elsewhere, by staff, or because a copy of its token came back.",
  reused: "Logged out by the server: an old refresh token came back, so somebody has a copy.",
  expired: "The session is over: it was not used for too long, or has reached its end.",
  missing: "Logged out: the session was ended, and its cookie is gone.",
  password_changed: "The password was changed: log in with the new one.",
  user_inactive: "This user is not active any more.",
};

const client = createClient({ authUrl: "/api/auth/" }, { fetch: watchedFetch });
let isOwn = false; // whether the next access token is from a request of this tab
let isAway = false; // whether the server does not answer
let lastLook = 0;
let nextLook;
let retry;

nameTokensBy(accessName);
client.addEventListener("sessionstarted", () => showParts(true));
client.addEventListener("tokenchanged", ({ detail }) => {
  if (!isOwn) note("Another tab has just refreshed, and shares its new access token.");
  isOwn = false;
  renewAccess(detail.expiresIn, client.claims);
  look().catch(() => {});
});
client.addEventListener("sessionended", ({ detail }) => {
  clearTimeout(retry);
  clearTimeout(nextLook);
  clearTokens();
  showSessions([], endSession);
  showParts(false);
  announce(ENDS[detail.reason] ?? `The session is over: ${detail.reason}.`, detail.reason === "logout" ? "good" : "bad");
});
traffic.addEventListener("answered", ({ detail: { path, status } }) => {
  if (path === LOGIN || path === REFRESH) isOwn = status === 200;
  if (path === REFRESH) noticeRefresh(status);
});

// What the page itself asks: the row's number, and the sessions. Not too often, should tokens live for no time.
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
  if (sessions.ok) showSessions(await sessions.json(), endSession);
}

function showUser(family) {
  write($("who"), family.username);
  showFamily(family);
}

// Of its own session's end this page has to find out like any other: it doesn't look.
async function endSession(id) {
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

// No answer, or none that says whether the session lives: that logs nobody out.
function noticeRefresh(status) {
  if (status === 200 && isAway) announce("The server is back, and you are still logged in.", "good");
  isAway = status !== 200 && status !== 401;
  if (!isAway) return;
  announce(`${status ? `The server says ${status}` : "The server does not answer"}. You stay logged in.`, "bad");
  restoreLater();
}

function restoreLater() {
  clearTimeout(retry);
  retry = setTimeout(restore, RETRY);
}

async function restore() {
  try {
    showParts(await client.restore());
    if (!client.isAuthenticated && !$("status").textContent) announce("You are not logged in.");
  } catch {
    showParts(client.isAuthenticated);
    restoreLater();
  }
}

// The one of two parts that fits; the focus does not get lost with the other.
function showParts(isIn) {
  const [shown, gone] = isIn ? [$("session-part"), $("login-part")] : [$("login-part"), $("session-part")];
  shown.hidden = false;
  hide(gone, shown.querySelector("input[type=password], button"));
}

async function call(path) {
  const response = await client.fetch(path);
  return response.status;
}

async function callSpoilt(count) {
  if (client.claims) spoil(ME, count);
  return Promise.all(Array.from({ length: count }, () => call(ME)));
}

const tell = (text) => write($("call-says"), text);

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
onClick($("logout"), () => client.logout());
onClick($("logout-all"), () => client.logoutAll());
onClick($("end-others"), async () => {
  const response = await client.fetch(SESSIONS, { method: "DELETE" });
  await lookAgain();
  announce(response.ok ? "All other sessions are ended." : `The answer was ${response.status}.`, response.ok ? "good" : "bad");
});
onClick($("call"), async () => {
  const status = await call(ME);
  tell(status === 200 ? `200: ${accessName()} opened the door.` : `${status}: no token, no entry. Log in first.`);
});
onClick($("call-spoilt"), async () => {
  const [status] = await callSpoilt(1);
  tell(status === 200 ? "200 in the end: refused, refreshed, and asked again." : `${status}: log in first.`);
});
onClick($("call-ten"), async () => {
  const good = (await callSpoilt(10)).filter((status) => status === 200).length;
  tell(good ? `${good} of 10 came through. All ten were refused, and one refresh served them all.` : "401: log in first.");
});
onClick($("call-both"), async () => {
  const ordinary = await call(ME);
  const careful = await call("/api/me/revocable/");
  tell(`The ordinary door says ${ordinary}, the careful door says ${careful}.`);
});

$("curl").textContent = `curl -X POST ${location.origin}/api/auth/refresh/ -H "Cookie: PASTE-IT-HERE"`;
stageTheft();
restore();
