// The theft. It uses an app's tokens, which come in a body, because this page's script can't read the cookie.
import { $, chip, onClick, write } from "./dom.js";
import { canBind, makeKey, prove } from "./proofs.js";
import { watchedFetch } from "./requests.js";

const START = "Nobody has a token yet.";
const hands = { victim: [], thief: [] }; // what each has got so far: { token, name, end }; `end` is empty while it is good
let key = null; // of the victim's phone, if the token is bound to it

/** A step has failed. With `restart` the theft starts again at the first step. */
class Stop extends Error {
  constructor(text, restart = true) {
    super(text);
    this.restart = restart;
  }
}

const steps = {
  async login() {
    key = $("bound").checked ? await makeKey() : null;
    const { username, password } = $("theft").dataset;
    const body = await app("login", { username, password }, 200, { restart: false, key });
    if (key && body.token_type !== "DPoP") throw new Stop("The server needs the package cryptography to bind tokens.", false);
    Object.assign(hands, { victim: [hold(body.refresh)], thief: [] });
    say("victim", "Logged in.", "good");
    say("thief", "Has nothing yet.");
    say("server", "Stores one row for this login. Accepts R0.", "good");
    if (key) return "The phone has made a key that no program can read. It got R0, and R0 is bound to this key.";
    return "Ann's phone has got its first refresh token, R0.";
  },
  async steal() {
    hands.thief = [{ ...inHand("victim") }];
    say("thief", key ? "Has R0, but not the key." : "Has R0 too.", "bad");
    if (key) return "Both have R0 now. The thief has copied everything that can be copied. The key can't be.";
    return "Both have R0 now. Nobody has noticed it.";
  },
  async refresh() {
    await rotate();
    say("victim", "Still logged in.", "good");
    say("thief", "Has an old token.", "bad");
    return `The phone sent R0 and got R1. ${key ? "It signed the request with its key." : "R0 is used up, so the thief's copy is an old token."}`;
  },
  async replay() {
    const { reason } = await app("refresh", { refresh: inHand("thief").token }, 401);
    say("thief", `Refused: ${reason}.`, "bad");
    if (key) return "The copy comes without the key. The server refuses it at once, and revokes nothing.";
    retire("revoked");
    say("victim", "Has not noticed it yet.");
    say("server", "Has revoked the login. Accepts none of its tokens.", "bad");
    return "R0 was used a second time, so somebody has copied it. The server can't know who is the thief. It revokes the whole login.";
  },
  async locked() {
    if (key) {
      await rotate();
      say("victim", "Still logged in.", "good");
      return "Ann has noticed nothing. The thief has nothing.";
    }
    const { reason } = await app("refresh", { refresh: inHand("victim").token }, 401);
    say("victim", `Refused: ${reason}.`, "bad");
    return "The thief is locked out, and Ann is logged out. Only Ann has the password, so only she can log in again.";
  },
};

/** Connect the buttons, so that the steps are played in order. */
export function stageTheft() {
  const buttons = [...document.querySelectorAll("[data-step]")];
  buttons.forEach((button, index) => onClick(button, async () => {
    try {
      write($("moral"), await steps[button.dataset.step]());
      draw();
      goTo(buttons, index + 1);
      document.querySelector(".people").scrollIntoView({ block: "nearest" }); // on a phone it is below the steps
      (buttons[index + 1] ?? $("again")).focus();
    } catch (error) {
      if (!(error instanceof Stop)) throw error;
      if (error.restart) restart(buttons);
      write($("moral"), error.message);
    }
  }));
  $("again").addEventListener("click", () => {
    restart(buttons);
    buttons[0].focus();
  });
  $("bound").disabled = !canBind;
  $("bound").addEventListener("change", () => restart(buttons));
}

// Show that the steps before `next` are done, and let the user press only the button of `next`.
function goTo(buttons, next) {
  buttons.forEach((button, index) => {
    button.disabled = index !== next;
    button.parentElement.className = index < next ? "done" : "";
  });
  $("again").hidden = next < buttons.length;
}

function restart(buttons) {
  Object.assign(hands, { victim: [], thief: [] });
  draw();
  say("victim", "Not logged in.");
  say("thief", "Has nothing yet.");
  say("server", "Stores no login of Ann yet.");
  write($("moral"), START);
  goTo(buttons, 0);
}

async function rotate() {
  const { refresh } = await app("refresh", { refresh: inHand("victim").token }, 200, { key });
  retire("used up");
  hands.victim.push(hold(refresh));
  say("server", `Stores the same row. Accepts ${inHand("victim").name}.`, "good");
}

function hold(token) {
  const { gen } = JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));
  return { token, name: `R${gen}`, end: "" };
}

const inHand = (who) => hands[who].at(-1);

function retire(end) {
  for (const held of Object.values(hands).flat()) held.end ||= end;
}

function draw() {
  for (const who of Object.keys(hands)) {
    const chips = hands[who].map(({ name, end }, index) => chip(name, { end, isNow: index === hands[who].length - 1 }));
    $(who).querySelector("ol").replaceChildren(...chips);
  }
}

function say(who, state, kind = "") {
  const says = $(who).querySelector(".state");
  write(says, state);
  says.className = `state ${kind}`;
}

async function app(path, body, expected, { restart = true, key = null } = {}) {
  const url = new URL(`/api/app/auth/${path}/`, location.href).href;
  const proof = key ? { DPoP: await prove(key, url) } : {};
  const init = { method: "POST", headers: { "Content-Type": "application/json", ...proof }, body: JSON.stringify(body) };
  let response;
  try {
    response = await watchedFetch(url, init);
  } catch {
    throw new Stop("The server does not answer. Press the button again.", false);
  }
  const answer = await response.json().catch(() => null);
  if (response.status !== expected) throw new Stop(answer?.detail ?? `The answer was ${response.status}.`, restart);
  return answer;
}
