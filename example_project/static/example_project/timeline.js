// Draws when each token was valid, on two lanes. They move to the left, past a line that marks the present.
import { $, el } from "./dom.js";

const PAST = 6; // access token lifetimes shown before now
const FUTURE = 2; // access token lifetimes shown after now
const TICK = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1_000 : 100;

const lanes = { access: [], refresh: [] }; // each { element, from, to }; `to` is null while the end is unknown
let marks = []; // one for each refresh, in the same form
let unit = 10_000; // an access token's lifetime in milliseconds

/** Draw an access token; `life` is its lifetime in milliseconds. */
export function drawAccess(name, life) {
  if (lanes.access.length === 0) unit = life;
  draw("access", name, performance.now() + life);
}

/** Draw a refresh token, which replaces the one before it. */
export function drawRefresh(name) {
  draw("refresh", name, null);
}

/** Draw a refresh as a dot. */
export function drawMark() {
  const element = el("i");
  $("refresh-lane").append(element);
  marks.push({ element, from: performance.now(), to: performance.now() });
  tick();
}

/** End the bars of all tokens now. */
export function endLanes() {
  for (const name of Object.keys(lanes)) endLast(name);
  tick();
}

function draw(lane, name, to) {
  endLast(lane);
  const element = el("span", {}, el("b", {}, name));
  $(`${lane}-lane`).append(element);
  lanes[lane].push({ element, from: performance.now(), to });
  tick();
}

function endLast(lane) {
  const last = lanes[lane].at(-1);
  if (last) last.to = Math.min(last.to ?? Infinity, performance.now());
}

function tick() {
  const start = performance.now() - PAST * unit;
  for (const name of Object.keys(lanes)) lanes[name] = lanes[name].filter((life) => place(life, start));
  marks = marks.filter((mark) => place(mark, start));
}

// Place an element and tell whether it is still visible. Remove it if not.
function place({ element, from, to }, start) {
  const percent = (moment) => Math.min(100, Math.max(0, (moment - start) / ((PAST + FUTURE) * unit) * 100));
  const [left, right] = [percent(from), percent(to ?? Infinity)];
  element.style.left = `${left}%`;
  element.style.width = `${right - left}%`;
  if (to === null || to > start) return true;
  element.remove();
  return false;
}

setInterval(tick, TICK);
