// The life of two tokens, with plain fetch. The access token is in a variable, and nowhere else.
const $ = (id) => document.getElementById(id);
const short = (token) => (token ? `${token.slice(0, 6)}…${token.slice(-8)}` : "none");
let access = null;
let expires = 0;
let lifetime = 1;
let credentials = null;

function hideTokens(body) {
  return JSON.stringify(body, (key, value) => (["access", "refresh"].includes(key) ? short(value) : value));
}

async function request(method, path, body, headers = {}) {
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const item = document.createElement("li");
  let answer = { status: 0, body: null };
  try {
    const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
    const text = await response.text();
    answer = { status: response.status, body: text ? JSON.parse(text) : null };
    item.textContent = `${method} ${path} → ${answer.status} ${answer.body ? hideTokens(answer.body) : ""}`;
  } catch (error) {
    item.textContent = `${method} ${path} → ${error.message}`;
  }
  item.className = answer.status >= 200 && answer.status < 300 ? "good" : "bad";
  $("log").prepend(item);
  return answer;
}

function keep(body) {
  access = body?.access ?? null;
  lifetime = body?.expires_in ?? 1;
  expires = access ? performance.now() + lifetime * 1000 : 0;
  $("access").textContent = short(access);
}

setInterval(() => {
  const left = Math.max(0, (expires - performance.now()) / 1000);
  $("left").value = left / lifetime;
  if (access) $("access").textContent = `${short(access)} (${left.toFixed(0)} s left)`;
}, 200);

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const data = Object.fromEntries(new FormData(event.target));
  const answer = await request("POST", "/api/auth/login/", data);
  if (answer.status === 200) {
    credentials = data;
    keep(answer.body);
  }
});
$("me").addEventListener("click", () =>
  request("GET", "/api/me/", undefined, access ? { Authorization: `Bearer ${access}` } : {}));
$("refresh").addEventListener("click", async () => {
  const answer = await request("POST", "/api/auth/refresh/");
  if (answer.status === 200 || answer.status === 401) keep(answer.status === 200 ? answer.body : null);
});
$("logout").addEventListener("click", async () => {
  await request("POST", "/api/auth/logout/");
  keep(null);
});

// The theft, by body tokens.
const tokens = { victim: null, thief: null };
const refresh = (token) => request("POST", "/api/app/auth/refresh/", { refresh: token });
const steps = {
  async login() {
    const data = credentials ?? Object.fromEntries(new FormData($("login")));
    const answer = await request("POST", "/api/app/auth/login/", data);
    if (answer.status !== 200) return "Type the password above first.";
    Object.assign(tokens, { victim: answer.body.refresh, thief: null });
    return "The victim is logged in.";
  },
  async steal() {
    tokens.thief = tokens.victim;
    return "Both hold the same refresh token. Nobody has noticed yet.";
  },
  async refresh() {
    const answer = await refresh(tokens.victim);
    tokens.victim = answer.body?.refresh ?? tokens.victim;
    return "The victim has a new token. The copy is now an old one.";
  },
  async replay() {
    const answer = await refresh(tokens.thief);
    return `An old token came back: ${answer.status}, ${answer.body?.reason}. The whole family is locked.`;
  },
  async locked() {
    const answer = await refresh(tokens.victim);
    Object.assign(tokens, { victim: null, thief: null });
    return `${answer.status}, ${answer.body?.reason}: the thief is out, and the victim has to log in again and knows why.`;
  },
};
const buttons = [...document.querySelectorAll("[data-step]")];
buttons.forEach((button, index) => button.addEventListener("click", async () => {
  $("moral").textContent = await steps[button.dataset.step]();
  for (const name of ["victim", "thief"]) $(name).textContent = tokens[name] ? short(tokens[name]) : "no token";
  const next = button.dataset.step === "login" && !tokens.victim ? 0 : (index + 1) % buttons.length;
  buttons.forEach((other, position) => { other.disabled = position !== next; });
  buttons[next].focus();
}));
