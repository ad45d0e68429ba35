// When each token was there, drawn on two lanes that move to the left, past the line that is now.
import { $, el } from "./dom.js";

const PAST = 6; // lives of an access token that are shown
const FUTURE = 2;
const TICK = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1_000 : 100;

const lanes = { access: [], refresh: [] }; // each { element, from, to }; `to` is null while there is no end in sight
let marks = []; // the refreshes
let unit = 10_000; // an access token's life, in milliseconds

/** Draw an access token that lives for so many milliseconds. */
export function drawAccess(name, life) {
  if (lanes.access.length === 0) unit = life;
  draw("access", name, performance.now() + life);
}

/** Draw a refresh token; the one before it ends here. */
export function drawRefresh(name) {
  draw("refresh", name, null);
}

/** Draw that there was a refresh. */
export function drawMark() {
  const element = el("i");
  $("refresh-lane").append(element);
  marks.push({ element, from: performance.now(), to: performance.now() });
  tick();
}

/** Let all tokens end here. */
export function endLanes() {
  for (const name of Object.keys(lanes)) endLast(name);
  tick();
}

function draw(lane, name, to) {
  endLast(lane);
  const element = el("span", {}, name);
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

// Tell whether it is still in sight; take it away if not.
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
