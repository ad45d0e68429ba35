// The user's sessions. A row stays the same element while its session lives, so that no focus is lost.
import { $, announce, away, el, hide, onClick, write } from "./dom.js";

const BROWSERS = [["Edg/", "Edge"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"], ["curl/", "curl"]];
const SYSTEMS = [["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"], ["Mac OS", "macOS"], ["Linux", "Linux"]];
const rows = new Map();

/** Show these sessions; `end` ends one by its id. */
export function showSessions(sessions, end) {
  for (const id of [...rows.keys()]) if (!sessions.some((session) => session.id === id)) remove(id);
  for (const session of sessions) {
    if (!rows.has(session.id)) rows.set(session.id, makeRow(session, end));
    fill(rows.get(session.id), session);
  }
  $("sessions").append(...sessions.map(({ id }) => rows.get(id)).filter((row) => !row.isConnected));
  $("sessions-none").hidden = sessions.length > 0;
  if (sessions.length > 1) $("end-others").hidden = false;
  else hide($("end-others"), $("sessions-title"));
}

function makeRow(session, end) {
  const button = el("button", { type: "button", class: "plain", "aria-label": `End this one: ${device(session)}` }, "End this one");
  onClick(button, async () => {
    const response = await end(session.id);
    const text = response.ok ? "That session is ended. It finds out at its next refresh." : `The answer was ${response.status}.`;
    announce(text, response.ok ? "good" : "bad");
  });
  return el("li", {}, el("div", {}, el("b", {}, device(session)), el("span", { class: "tag" }), el("small")), button);
}

function fill(row, session) {
  const [tag] = row.getElementsByClassName("tag");
  tag.hidden = !session.current;
  write(tag, session.current ? "this page" : "");
  const end = session.expires_at ? `ends ${away(session.expires_at)}` : "without end";
  const used = session.current ? "in use now" : `last used ${away(session.last_used_at)}`;
  write(row.querySelector("small"), `${session.ip_address ?? "unknown address"}, ${used}, ${end}`);
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

