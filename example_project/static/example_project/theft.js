// The theft. It uses an app's tokens, which come in a body, because this page's script can't read the cookie.
import { $, chip, onClick, write } from "./dom.js";
import { canBind, makeKey, prove } from "./proofs.js";
import { watchedFetch } from "./requests.js";

const tokens = { victim: null, thief: null };
let key = null; // of the victim's device, if the token is bound to it

/** A step failed. With `restart` the theft starts again from the first step. */
class Stop extends Error {
  constructor(text, restart = true) {
    super(text);
    this.restart = restart;
  }
}

const steps = {
  async login() {
    const form = $("theft-login");
    if (!form.reportValidity()) throw new Stop("Enter the victim's name and password.", false);
    const { bound, ...credentials } = Object.fromEntries(new FormData(form));
    key = bound ? await makeKey() : null;
    const body = await app("login", credentials, 200, { restart: false, key });
    if (key && body.token_type !== "DPoP") throw new Stop("The server needs the package cryptography to bind tokens.", false);
    form.elements.password.value = "";
    Object.assign(tokens, { victim: body.refresh, thief: null });
    show("victim", ["R0"], "Logged in.", "good");
    show("thief", [], "Has nothing yet.");
    if (key) return "The app has made a key that no program can read, and got R0, which is bound to this key.";
    return "The victim's app has got its first refresh token, R0.";
  },
  async steal() {
    tokens.thief = tokens.victim;
    show("thief", ["R0"], "Has the victim's token.", "bad");
    if (key) return "Both have R0 now. The thief has copied all that can be copied: not the key.";
    return "Both have R0 now. Nobody has noticed it yet.";
  },
  async refresh() {
    tokens.victim = (await app("refresh", { refresh: tokens.victim }, 200, { key })).refresh;
    show("victim", ["R0", "R1"], "Still logged in. R0 was used and replaced.", "good");
    if (key) return "R1 has replaced R0. The app has signed this request with its key.";
    return "R1 has replaced the victim's R0. The thief's copy is an old token now.";
  },
  async replay() {
    const { reason } = await app("refresh", { refresh: tokens.thief }, 401);
    show("thief", ["R0"], `Refused: ${reason}.`, "bad");
    if (key) return "Without the key, the copy is refused at once, and nothing is revoked: the victim is safe.";
    return "R0 was used a second time, so there is a copy. The server can't tell owner and thief apart, so it revokes the whole token family.";
  },
  async locked() {
    if (key) {
      tokens.victim = (await app("refresh", { refresh: tokens.victim }, 200, { key })).refresh;
      show("victim", ["R0", "R1", "R2"], "Still logged in.", "good");
      return "The victim has noticed nothing. The thief has nothing.";
    }
    const { reason } = await app("refresh", { refresh: tokens.victim }, 401);
    show("victim", ["R0", "R1"], `Refused: ${reason}.`, "bad");
    return "R1 is revoked too. The thief is locked out. Only the victim can log in again, with the password.";
  },
};

/** Connect the buttons, so that the steps are played in order. */
export function stageTheft() {
  $("theft-login").addEventListener("submit", (event) => event.preventDefault());
  const buttons = [...document.querySelectorAll("[data-step]")];
  buttons.forEach((button, index) => onClick(button, async () => {
    try {
      write($("moral"), await steps[button.dataset.step]());
      goTo(buttons, (index + 1) % buttons.length);
    } catch (error) {
      if (!(error instanceof Stop)) throw error;
      write($("moral"), error.message);
      if (error.restart) goTo(buttons, 0);
    }
  }));
  const { bound } = $("theft-login").elements;
  bound.disabled = !canBind;
  bound.addEventListener("change", () => {
    enable(buttons, 0);
    write($("moral"), bound.checked ? "Now with a bound token: play it again." : "Now without: play it again.");
  });
}

function goTo(buttons, next) {
  enable(buttons, next);
  buttons[next].focus();
}

function enable(buttons, next) {
  buttons.forEach((button, index) => (button.disabled = index !== next));
}

function show(who, names, state, kind = "") {
  const items = names.map((name, index) => chip(name, "", index === names.length - 1));
  $(who).querySelector("ol").replaceChildren(...items);
  write($(who).querySelector(".holds"), tokens[who] ? `…${tokens[who].slice(-12)}` : "no token");
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
