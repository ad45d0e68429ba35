// The two tokens. The page counts the access tokens that it gets. It can't read the refresh token, so the server tells
// it the token's number.
import { $, away, chip, el, write } from "./dom.js";
import { drawAccess, drawMark, drawRefresh, endLanes } from "./timeline.js";

const SHOWN = 6;
const TICK = 100; // milliseconds

const access = { count: 0, until: 0, life: 0 };
const generations = []; // { number, given }: a refresh token's number and how often the server gave it

/** The name of the current access token. */
export const accessName = () => `A${access.count}`;

/** Show a new access token: its lifetime in seconds and its claims. */
export function renewAccess(seconds, { sub, sid, staff }) {
  Object.assign(access, { count: access.count + 1, until: performance.now() + seconds * 1000, life: seconds * 1000 });
  write($("access-name"), accessName());
  write($("access-claims"), `user ${sub}, ${staff ? "staff" : "not staff"}, session ${sid.slice(0, 8)}…`);
  drawAccess(accessName(), access.life);
  tick();
}

/** Show what the server says about the token family. */
export function showFamily({ id, generation, idle_end: idleEnd, expires_at: end }) {
  const last = generations.at(-1);
  if (last?.number !== generation) {
    generations.push({ number: generation, given: 0 });
    drawRefresh(`R${generation}`);
  }
  generations.at(-1).given += 1;
  if (generations.length > 1 || generations[0].given > 1) drawMark();
  showLine();
  write($("refresh-name"), `R${generation}`);
  write($("refresh-idle"), away(idleEnd));
  write($("refresh-end"), end ? away(end) : "never");
  write($("refresh-row"), `stores one row, ${id.slice(0, 8)}…, generation ${generation}`);
}

/** Show that there are no tokens. */
export function clearTokens() {
  Object.assign(access, { count: 0, until: 0, life: 0 });
  generations.length = 0;
  $("refresh-line").replaceChildren();
  endLanes();
  for (const name of ["access-name", "refresh-name"]) write($(name), "none");
  for (const name of ["access-claims", "refresh-idle", "refresh-end", "refresh-row"]) write($(name), "–");
  tick();
}

function showLine() {
  const shown = generations.slice(-SHOWN);
  const items = shown.map(({ number, given }, index) =>
    chip(`R${number}`, {
      end: index < shown.length - 1 ? "used up" : "",
      text: given > 1 ? ` given ${given} times` : "",
      isNow: index === shown.length - 1,
    }));
  const before = shown[0].number;
  if (before > 0) items.unshift(el("li", { class: "more" }, `${before} earlier`));
  $("refresh-line").replaceChildren(...items);
}

function tick() {
  const left = Math.max(0, access.until - performance.now());
  $("access-left").value = access.life ? left / access.life : 0;
  write($("access-says"), lifeInWords(left));
}

function lifeInWords(left) {
  if (access.count === 0) return "No access token.";
  if (left === 0) return "Expired. The next call gets a new one first.";
  return `Valid for ${Math.ceil(left / 1000)} more seconds.`;
}

setInterval(tick, TICK);
