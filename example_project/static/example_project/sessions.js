// The user's sessions. A session's row stays the same element while it is listed, so that it keeps the focus.
import { $, announce, away, el, hide, onClick, write } from "./dom.js";

const BROWSERS = [["Edg/", "Edge"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"], ["curl/", "curl"]];
const SYSTEMS = [["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"], ["Mac OS", "macOS"], ["Linux", "Linux"]];
const rows = new Map();

/** Show these sessions. `revoke` revokes one by its id. */
export function showSessions(sessions, revoke) {
  for (const id of [...rows.keys()]) if (!sessions.some((session) => session.id === id)) remove(id);
  for (const session of sessions) {
    if (!rows.has(session.id)) rows.set(session.id, makeRow(session, revoke));
    fill(rows.get(session.id), session);
  }
  $("sessions").append(...sessions.map(({ id }) => rows.get(id)).filter((row) => !row.isConnected));
  if (sessions.length > 1) $("revoke-others").hidden = false;
  else hide([$("revoke-others")], $("sessions-title"));
}

function makeRow(session, revoke) {
  const button = el("button", { type: "button", class: "plain", "aria-label": `Revoke ${device(session)}` }, "Revoke");
  onClick(button, async () => {
    const response = await revoke(session.id);
    const text = response.ok ? "That session is revoked. Its next refresh will be refused." : `The answer was ${response.status}.`;
    announce(text, response.ok ? "good" : "bad");
  });
  return el("li", {}, el("div", {}, el("b", {}, device(session)), el("span", { class: "tag" }), el("small")), button);
}

function fill(row, session) {
  const [tag] = row.getElementsByClassName("tag");
  tag.hidden = !session.current;
  write(tag, session.current ? "this page" : "");
  const expiry = session.expires_at ? `expires ${away(session.expires_at)}` : "does not expire";
  const used = session.current ? "in use now" : `last used ${away(session.last_used_at)}`;
  write(row.querySelector("small"), `${session.ip_address ?? "unknown address"}, ${used}, ${expiry}`);
}

function remove(id) {
  const row = rows.get(id);
  const hadFocus = row.contains(document.activeElement);
  const next = (row.nextElementSibling ?? row.previousElementSibling)?.querySelector("button");
  row.remove();
  rows.delete(id);
  if (hadFocus) (next ?? $("sessions-title")).focus();
}

function device({ user_agent: agent }) {
  const find = (words) => words.find(([mark]) => agent.includes(mark))?.[1];
  const [browser, system] = [find(BROWSERS), find(SYSTEMS)];
  return browser && system ? `${browser} on ${system}` : (browser ?? system ?? (agent.slice(0, 40) || "An unknown device"));
}

