// Several tabs that share storage, locks and a channel, a clock, and a server that knows the rule of rotation.
import { createClient } from "../../twotoken/static/twotoken/client.js";

export const ORIGIN = "https://app.example";

export const TRIES = 5; // of a refresh whose answers are lost: the first, and four retries

/** Let everything that is under way come to its end. */
export const settle = () => new Promise((resolve) => setTimeout(resolve, 5));

const parsed = (text) => (text ? JSON.parse(text) : null);

const aborted = (signal) =>
  new Promise((resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

/** Log a tab in. */
export async function started(world, tab = world.tab()) {
  await tab.login({ username: "ann", password: "x" });
  return tab;
}

/** What a client tells, as it comes. */
export function heard(client) {
  const seen = [];
  client.addEventListener("sessionstarted", ({ detail }) => seen.push(`started ${detail.claims.sid}`));
  client.addEventListener("sessionended", ({ detail }) => seen.push(`ended ${detail.reason}`));
  return seen;
}

export class World {
  constructor({ locks = true, storage = true, lifetime = 900 } = {}) {
    this.store = storage ? new Map() : null;
    this.isFull = false;
    this.hasLocks = locks;
    this.lifetime = lifetime;
    this.time = 1_000_000;
    this.timers = [];
    this.tabs = new Set();
    this.queue = Promise.resolve();
    this.requests = [];
    this.family = null; // the cookie's
    this.families = 0;
    this.generation = 0; // the cookie's, which is always the newest here
    this.lastKey = null;
    this.isUndecided = false; // somebody has tossed cookies, and the server can't tell which counts
    this.serial = 0;
    this.valid = new Set();
    this.stepped = new Set(); // the tokens of a step-up
    this.showsChallenge = true; // to a page of another origin only if it is exposed
    this.faults = []; // of refresh, login, logout and reauthenticate
    this.window = new EventTarget();
  }

  tab(options = {}, environment = {}) {
    const world = this;
    class Channel {
      constructor() { world.tabs.add(this); }
      postMessage(data) {
        if (!world.tabs.has(this)) throw new Error("The channel is closed.");
        for (const other of world.tabs) if (other !== this) queueMicrotask(() => other.onmessage?.({ data }));
      }
      close() { world.tabs.delete(this); }
    }
    return createClient({ authUrl: "/api/auth/", ...options }, {
      fetch: (input, init) => this.serve(new Request(input, init)),
      locks: this.hasLocks ? { request: (name, work) => this.lock(work) } : undefined,
      storage: this.store && {
        getItem: (name) => this.store.get(name) ?? null,
        setItem: (name, value) => {
          if (this.isFull) throw new DOMException("full", "QuotaExceededError");
          this.store.set(name, value);
        },
        removeItem: (name) => this.store.delete(name),
      },
      BroadcastChannel: Channel,
      location: { href: `${ORIGIN}/page`, origin: ORIGIN },
      window: this.window,
      now: () => this.time,
      setTimeout: (work, delay) => {
        const timer = { at: this.time + (delay > 2 ** 31 - 1 ? 0 : Math.trunc(delay)), work }; // as browsers do
        this.timers.push(timer);
        return timer;
      },
      clearTimeout: (timer) => (this.timers = this.timers.filter((other) => other !== timer)),
      ...environment,
    });
  }

  lock(work) {
    const result = this.queue.then(work);
    this.queue = result.catch(() => {});
    return result;
  }

  /** Let time pass, with what falls due in it. */
  async pass(milliseconds) {
    const end = this.time + milliseconds;
    for (;;) {
      await settle();
      const [next] = this.timers.filter(({ at }) => at <= end).sort((one, two) => one.at - two.at);
      if (next === undefined) break;
      this.timers.splice(this.timers.indexOf(next), 1);
      this.time = Math.max(this.time, next.at);
      next.work();
    }
    this.time = Math.max(this.time, end); // answers take time too
  }

  /** Let the pauses between retries pass until a promise is settled, but no timeout: a busy machine may need real time. */
  async through(promise) {
    let isSettled = false;
    const settled = () => (isSettled = true);
    promise.then(settled, settled);
    for (await settle(); !isSettled; await settle()) {
      const next = Math.min(...this.timers.map(({ at }) => at));
      if (next - this.time < 5_000) await this.pass(Math.max(0, next - this.time));
    }
    return promise;
  }

  /** The next answers of the server to refresh, login and logout are lost, or all those that a call asks for. */
  lose(fault = "lose", times = TRIES) { this.faults.push(...Array(times).fill(fault)); }

  answer(status, body, headers = {}) {
    return new Response(body === undefined ? null : JSON.stringify(body), { status, headers });
  }

  page(status) {
    return new Response("<h1>A proxy</h1>", { status, headers: { "Content-Type": "text/html" } });
  }

  claims() {
    return { sid: this.family, sub: "ä", n: (this.serial += 1) };
  }

  pair(isStepped = false) {
    const access = `h.${Buffer.from(JSON.stringify(this.claims())).toString("base64url")}.s`;
    this.valid.add(access);
    if (isStepped) this.stepped.add(access);
    return this.answer(200, { access, expires_in: this.lifetime });
  }

  refuse(reason) {
    return this.answer(401, { detail: "No.", code: "token_not_valid", reason });
  }

  async serve(request) {
    request.signal.throwIfAborted();
    const { pathname, origin } = new URL(request.url);
    const authorization = request.headers.get("Authorization");
    const body = await request.text();
    this.requests.push({ pathname, origin, authorization, key: request.headers.get("Idempotency-Key"), body, at: this.time });
    this.time += 1;
    await Promise.resolve();
    const token = authorization?.split(" ")[1];
    if (!/(login|refresh|logout|all|reauthenticate)\/$/.test(pathname)) {
      if (!this.valid.has(token)) return this.refuse("expired");
      return pathname.endsWith("email/") && !this.stepped.has(token) ? this.wantStepUp() : this.answer(200, {});
    }
    let fault = this.faults.shift();
    if (typeof fault === "function") fault = fault();
    if (fault === "cut") throw new TypeError("network");
    if (fault instanceof Response) return fault;
    const answer = this.authenticate(pathname, request.headers.get("Idempotency-Key"), token, parsed(body));
    if (fault === "lose") throw new TypeError("network");
    if (fault instanceof Promise) await Promise.race([fault, aborted(request.signal)]); // the answer is late
    return answer;
  }

  wantStepUp() {
    const challenge = 'Bearer error="insufficient_user_authentication", max_age="300"';
    const body = { detail: "No.", code: "insufficient_user_authentication", max_age: 300 };
    return this.answer(401, body, this.showsChallenge ? { "WWW-Authenticate": challenge } : {});
  }

  authenticate(pathname, key, token, body) {
    if (pathname.endsWith("reauthenticate/")) {
      if (!this.valid.has(token)) return this.refuse("revoked");
      const isRight = body.password === "right";
      return isRight ? this.pair(true) : this.answer(401, { detail: "Wrong.", code: "no_active_account" });
    }
    if (pathname.endsWith("login/")) {
      this.family = `family ${(this.families += 1)}`;
      this.generation = 0;
      return this.pair();
    }
    if (!pathname.endsWith("refresh/")) {
      this.family = null;
      return this.answer(204);
    }
    if (key !== null && !/^[!#-~]{8,255}$/.test(key)) {
      return this.answer(400, { detail: "No.", code: "invalid_idempotency_key" });
    }
    if (this.family === null) return this.refuse("missing");
    if (this.isUndecided) return this.refuse("invalid");
    if (!key || key !== this.lastKey) this.generation += 1;
    this.lastKey = key;
    return this.pair();
  }

  expire() { this.valid.clear(); }
  count(path) { return this.requests.filter(({ pathname }) => pathname.endsWith(path)).length; }
  keysSent() { return this.requests.filter(({ pathname }) => pathname.endsWith("refresh/")).map(({ key }) => key); }
}
