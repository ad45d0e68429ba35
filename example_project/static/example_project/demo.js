// The life of two tokens, with plain fetch. The access token is in a variable, and nowhere else.
const $ = (id) => document.getElementById(id);
const short = (token) => (token ? `${token.slice(0, 4)}…${token.slice(-6)}` : "none");
let access = null;
let expires = 0;
let lifetime = 1;

const describe = (body) =>
  Object.entries(body ?? {})
    .map(([key, value]) => `${key}: ${["access", "refresh"].includes(key) && value.length > 40 ? short(value) : value}`)
    .join("   ");

async function request(method, path, body, headers = {}) {
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer = { status: 0, body: null };
  let detail;
  try {
    const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    const text = await response.text();
    answer = { status: response.status, body: null };
    const isJson = response.headers.get("Content-Type")?.includes("json");
    if (text && isJson) answer.body = JSON.parse(text);
    detail = describe(answer.body);
  } catch (error) {
    detail = `no answer: ${error.message}`;
  }
  const item = document.createElement("li");
  const status = document.createElement("strong");
  status.textContent = answer.status || "failed";
  status.className = answer.status >= 200 && answer.status < 300 ? "good" : "bad";
  item.append(`${method} ${path} `, status);
  if (detail) {
    const code = document.createElement("code");
    code.textContent = detail;
    item.append(code);
  }
  $("log").prepend(item);
  return answer;
}

function keep(body) {
  access = body?.access ?? null;
  lifetime = body?.expires_in ?? 1;
  expires = access ? performance.now() + lifetime * 1000 : 0;
  $("access").textContent = short(access);
  tick();
}

function tick() {
  const left = Math.max(0, (expires - performance.now()) / 1000);
  $("left").value = left / lifetime;
  $("seconds").textContent = !access ? "" : left ? `${Math.ceil(left)} s left` : "expired";
}
setInterval(tick, 200);

const say = (text) => { $("says").textContent = text; };
const failed = (answer) =>
  answer.status === 0 ? "The server did not answer."
    : answer.body?.detail ?? `The answer was ${answer.status}: see Requests.`;

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await request("POST", "/api/auth/login/", Object.fromEntries(new FormData(event.target)));
  if (answer.status !== 200) return say(failed(answer));
  keep(answer.body);
  say("Logged in: both tokens are there. Now call /api/me/.");
});
$("me").addEventListener("click", async () => {
  const answer = await request("GET", "/api/me/", undefined, access ? { Authorization: `Bearer ${access}` } : {});
  if (answer.status === 200) say("The access token opened the route. Wait until the bar is empty and call again.");
  else if (answer.status !== 401) say(failed(answer));
  else if (access) say("401: the access token has expired. Refresh, and call again. A real client does so by itself.");
  else say("401: there is no access token. Log in, or refresh if you were logged in.");
});
$("refresh").addEventListener("click", async () => {
  const answer = await request("POST", "/api/auth/refresh/");
  if (answer.status === 200) {
    keep(answer.body);
    say("A new access token, and the cookie holds a new refresh token. No password was needed.");
  } else {
    if (answer.status === 401) keep(null);
    say(failed(answer));
  }
});
$("logout").addEventListener("click", async () => {
  const answer = await request("POST", "/api/auth/logout/");
  if (answer.status !== 204) return say(failed(answer));
  keep(null);
  say("Logged out: the refresh token is ended on the server, and the cookie is gone. Refresh gives a 401.");
});

// The theft, by body tokens. A step returns what it taught, or undefined where it has to be tried again.
const tokens = { victim: null, thief: null };
const app = (path, body) => request("POST", `/api/app/auth/${path}/`, body);

function show(who, label, state, kind = "") {
  $(who).querySelector("code").textContent = tokens[who] ? `${label} ${short(tokens[who])}` : "no token";
  const paragraph = $(who).querySelector(".state");
  paragraph.textContent = state;
  paragraph.className = `state ${kind}`;
}

const steps = {
  async login() {
    if (!$("login").reportValidity()) return undefined;
    const answer = await app("login", Object.fromEntries(new FormData($("login"))));
    if (answer.status !== 200) {
      $("moral").textContent = failed(answer);
      return undefined;
    }
    Object.assign(tokens, { victim: answer.body.refresh, thief: null });
    show("victim", "R0", "logged in", "good");
    show("thief", "", "waiting");
    return "The victim has a first refresh token, R0.";
  },
  async steal() {
    tokens.thief = tokens.victim;
    show("thief", "R0", "has a copy");
    return "Both hold R0 now. Nobody has noticed yet.";
  },
  async refresh() {
    const answer = await app("refresh", { refresh: tokens.victim });
    if (answer.status === 200) {
      tokens.victim = answer.body.refresh;
      show("victim", "R1", "logged in, R0 used up", "good");
      return "The victim's R0 became R1. The thief's copy is now an old token.";
    }
    return refused("victim", "R0", answer);
  },
  async replay() {
    const answer = await app("refresh", { refresh: tokens.thief });
    if (answer.status !== 401) return refused("thief", "R0", answer);
    show("thief", "R0", `401 ${answer.body.reason}`, "bad");
    return "R0 was used twice, so somebody copied it. The server can't tell who: it locks the whole family of tokens.";
  },
  async locked() {
    const answer = await app("refresh", { refresh: tokens.victim });
    if (answer.status !== 401) return refused("victim", "R1", answer);
    show("victim", "R1", `401 ${answer.body.reason}`, "bad");
    return "R1 is locked too. The thief is out for good; the victim logs in again with the password.";
  },
};

function refused(who, label, answer) {
  show(who, label, `${answer.status || "no answer"} ${answer.body?.reason ?? ""}`, "bad");
  $("moral").textContent = failed(answer);
  return undefined;
}

const buttons = [...document.querySelectorAll("[data-step]")];
buttons.forEach((button, index) => button.addEventListener("click", async () => {
  if (button.getAttribute("aria-busy")) return;
  button.setAttribute("aria-busy", "true");
  const moral = await steps[button.dataset.step]();
  button.removeAttribute("aria-busy");
  const restart = moral === undefined && index > 0;
  if (moral !== undefined) $("moral").textContent = moral;
  const next = moral !== undefined ? (index + 1) % buttons.length : restart ? 0 : index;
  buttons.forEach((other, position) => { other.disabled = position !== next; });
  if (moral !== undefined || restart) buttons[next].focus();
}));
