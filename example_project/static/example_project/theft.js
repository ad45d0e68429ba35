// The theft, by an app's tokens, which are in a body: a cookie can't be had by this page's script.
import { $, chip, onClick, write } from "./dom.js";
import { watchedFetch } from "./requests.js";

const tokens = { victim: null, thief: null };

/** A step that can't go on; with `restart` the story begins again. */
class Stop extends Error {
  constructor(text, restart = true) {
    super(text);
    this.restart = restart;
  }
}

const steps = {
  async login() {
    const form = $("theft-login");
    if (!form.reportValidity()) throw new Stop("The victim needs a name and a password.", false);
    const body = await app("login", Object.fromEntries(new FormData(form)), 200, false);
    form.elements.password.value = "";
    Object.assign(tokens, { victim: body.refresh, thief: null });
    show("victim", ["R0"], "Logged in.", "good");
    show("thief", [], "Waits for a chance.");
    return "The victim's app has its first refresh token, R0.";
  },
  async steal() {
    tokens.thief = tokens.victim;
    show("thief", ["R0"], "Has the victim's token.", "bad");
    return "Both have R0 now. Nobody has noticed.";
  },
  async refresh() {
    tokens.victim = (await app("refresh", { refresh: tokens.victim }, 200)).refresh;
    show("victim", ["R0", "R1"], "Still logged in. R0 is used up.", "good");
    return "The victim's R0 became R1. The thief's copy is an old token now.";
  },
  async replay() {
    const { reason } = await app("refresh", { refresh: tokens.thief }, 401);
    show("thief", ["R0"], `Refused: ${reason}.`, "bad");
    return "R0 came a second time, so there is a copy. The server can't tell who is who: it ends the whole line.";
  },
  async locked() {
    const { reason } = await app("refresh", { refresh: tokens.victim }, 401);
    show("victim", ["R0", "R1"], `Refused: ${reason}.`, "bad");
    return "R1 is dead too. The thief is out for good. The victim logs in again, and only the victim can.";
  },
};

/** Let the steps be played, one after the other. */
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
}

function goTo(buttons, next) {
  buttons.forEach((button, index) => (button.disabled = index !== next));
  buttons[next].focus();
}

function show(who, names, state, kind = "") {
  const items = names.map((name, index) => chip(name, "", index === names.length - 1));
  $(who).querySelector("ol").replaceChildren(...items);
  write($(who).querySelector(".holds"), tokens[who] ? `…${tokens[who].slice(-12)}` : "no token");
  const says = $(who).querySelector(".state");
  write(says, state);
  says.className = `state ${kind}`;
}

async function app(path, body, expected, restart = true) {
  const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await watchedFetch(`/api/app/auth/${path}/`, init);
  } catch {
    throw new Stop("The server does not answer. Press the button again.", false);
  }
  const answer = await response.json().catch(() => null);
  if (response.status !== expected) throw new Stop(answer?.detail ?? `The answer was ${response.status}.`, restart);
  return answer;
}
