/**
 * The browser's half of twotoken: silent refresh that users never notice. No build step, no dependency.
 *
 * The access token is in this module's memory and nowhere else. The refresh token is in an HttpOnly cookie that
 * no script can read. What localStorage holds opens nothing: a marker that there is a session, and the
 * Idempotency-Key under which the last refresh was sent.
 *
 * @module twotoken/client
 */

/** A key is kept for so long after its last use: a request that a proxy delays can't look like a theft then. */
const KEY_KEPT = 30_000;
const EARLY = 0.2; // of its life is left when a token is refreshed
const JITTER = 0.1; // more, at random, so that tabs and servers don't all refresh at once
const LONGEST_WAIT = 30_000; // for a server that says Retry-After
const HANDOVER = 1_000; // how long to wait for a token that another tab has just fetched

/** A refusal of the server. Network errors stay the TypeErrors that fetch makes of them. */
export class AuthError extends Error {
  /** @param {Response} response @param {any} body */
  constructor(response, body) {
    super(body?.detail ?? `The answer was ${response.status}.`);
    this.name = "AuthError";
    this.status = response.status;
    this.code = body?.code ?? "";
    this.reason = body?.reason ?? "";
    /** What is wrong with each field, where the status is 400. */
    this.fields = response.status === 400 ? body : null;
    /** Seconds. */
    this.retryAfter = Number(response.headers.get("Retry-After")) || 0;
  }
}

/** @param {import("./client").ClientOptions} options */
export function createClient(options, environment = {}) {
  return new Client(options, environment);
}

class Client extends EventTarget {
  #env;
  #authUrl;
  #origins;
  #timeout;
  #name;
  #channel;
  #flight = null;
  #timer;
  #waiting = new Set();
  #memory = new Map();

  #access = null;
  #expires = 0; // by this tab's own clock: what the server's clock says does not matter
  #lifetime = 0;

  constructor({ authUrl, apiOrigins, timeout = 30_000 }, environment) {
    super();
    const storage = environment.storage === undefined ? ownStorage() : environment.storage;
    this.#env = {
      fetch: (...args) => globalThis.fetch(...args),
      locks: globalThis.navigator?.locks,
      BroadcastChannel: globalThis.BroadcastChannel,
      location: globalThis.location,
      document: globalThis.document,
      now: () => Date.now(),
      setTimeout: (...args) => globalThis.setTimeout(...args),
      clearTimeout: (timer) => globalThis.clearTimeout(timer),
      ...environment,
      storage,
    };
    this.#authUrl = new URL(authUrl.replace(/\/?$/, "/"), this.#env.location?.href);
    const own = this.#env.location ? [this.#env.location.origin] : [];
    this.#origins = new Set(apiOrigins ?? [...own, this.#authUrl.origin]);
    this.#timeout = timeout;
    this.#name = `twotoken:${this.#authUrl.href}`;
    if (this.#env.BroadcastChannel) {
      this.#channel = new this.#env.BroadcastChannel(this.#name);
      this.#channel.onmessage = ({ data }) => this.#hear(data);
    }
  }

  /** Whether this tab has a session: a token, or a marker that one can be had. */
  get isAuthenticated() {
    return this.#access !== null || this.#read("session") !== null;
  }

  /** What the access token says, or null. Only the server can tell whether it is true. */
  get claims() {
    return this.#access && decode(this.#access);
  }

  /** Log in. Rejects with an AuthError, or with a TypeError where no answer came. */
  async login(credentials) {
    await this.#alone(async () => this.#adopt(await this.#post("login/", { body: credentials })));
  }

  /** Log out in all tabs. Rejects where no answer came: the server then still knows the session. */
  async logout() {
    await this.#alone(async () => {
      await this.#post("logout/");
      this.#end("logout");
    });
  }

  /** Log out on all devices. */
  async logoutAll() {
    const response = await this.fetch(new URL("logout/all/", this.#authUrl), { method: "POST" });
    if (response.status !== 401 && !response.ok) throw new AuthError(response, await json(response));
    this.#end("logout");
  }

  /**
   * Get this page a token if there is a session; tell whether there is one. A visitor who never logged in causes
   * no request. After a login by redirect, which left no marker, `force` asks the server all the same.
   */
  async restore({ force = false } = {}) {
    if (!force && !this.isAuthenticated) return false;
    if (!this.#isFresh()) await this.#refresh(this.#access);
    return this.#access !== null;
  }

  /**
   * Like fetch. A request to the API's origins carries the access token; on a 401 it is refreshed and sent once
   * more. A request that has an Authorization header of its own is left alone. Rejects as fetch does, and where the
   * refresh got no answer: nobody is logged out by that.
   */
  async fetch(input, init) {
    const target = typeof input === "string" ? new URL(input, this.#env.location?.href) : input;
    let request = new Request(target, init);
    if (!this.#origins.has(new URL(request.url).origin) || request.headers.has("Authorization")) {
      return this.#env.fetch(request);
    }
    if (this.isAuthenticated && !this.#isFresh()) await this.#refresh(this.#access);
    const used = this.#access;
    if (used === null) return this.#env.fetch(request);
    // A body can be read once only, be it a stream or not: the copy is for the second time.
    const copy = request.clone();
    request.headers.set("Authorization", `Bearer ${used}`);
    const response = await this.#env.fetch(request);
    if (response.status !== 401) {
      copy.body?.cancel().catch(() => {});
      return response;
    }
    if (this.#access === used) await this.#refresh(used);
    if (this.#access === null) return response;
    copy.headers.set("Authorization", `Bearer ${this.#access}`);
    return this.#env.fetch(copy);
  }

  /** Let go of timers and channel. The session stays. */
  destroy() {
    this.#env.clearTimeout(this.#timer);
    this.#channel?.close();
    this.#forget();
  }

  // --- refresh: one at a time, in this tab by one promise, across tabs by one lock

  #refresh(stale) {
    this.#flight ??= this.#refreshOnce(stale).finally(() => (this.#flight = null));
    return this.#flight;
  }

  #refreshOnce(stale) {
    const since = this.#env.now();
    return this.#alone(async () => {
      if (this.#access !== stale && this.#isFresh()) return;
      let key = this.#lastKey();
      if (key?.answered && key.used >= since && (await this.#handedOver(stale))) return;
      key = this.#nextKey(key);
      try {
        const answer = await this.#post("refresh/", { key: key?.value, patient: true });
        this.#answered(key);
        this.#adopt(answer);
      } catch (error) {
        if (error.status !== 401) throw error; // not a logout: the key stays, for whoever tries next
        this.#answered(key);
        this.#end(error.reason);
      }
    });
  }

  // Refresh, login and logout never overlap: a late answer to one could put its cookie over the other's.
  #alone(work) {
    return this.#env.locks ? this.#env.locks.request(this.#name, work) : work();
  }

  // Without a lock or a shared memory for it there is no key: the server's BROWSER_GRACE carries the tabs then.
  #lastKey() {
    if (!this.#env.locks || !this.#env.storage) return null;
    try {
      return JSON.parse(this.#read("key"));
    } catch {
      return null;
    }
  }

  // Written down before the request. One whose answer did not arrive is used again, however old: it may have
  // rotated the token. One that was answered is kept for a while after its last use, then there is a new one.
  #nextKey(last) {
    if (!this.#env.locks || !this.#env.storage) return null;
    const now = this.#env.now();
    const isKept = last && (!last.answered || Math.abs(now - last.used) < KEY_KEPT);
    const key = { value: isKept ? last.value : randomKey(), used: now, answered: false };
    return this.#write("key", JSON.stringify(key)) ? key : null;
  }

  #answered(key) {
    if (key) this.#write("key", JSON.stringify({ ...key, used: this.#env.now(), answered: true }));
  }

  #handedOver(stale) {
    if (!this.#channel) return false;
    return new Promise((resolve) => {
      const check = () => {
        if (this.#access === stale || !this.#isFresh()) return;
        done(true);
      };
      const done = (result) => {
        this.#waiting.delete(check);
        this.#env.clearTimeout(timer);
        resolve(result);
      };
      const timer = this.#env.setTimeout(() => done(false), HANDOVER);
      this.#waiting.add(check);
      this.#channel.postMessage({ type: "ask" });
    });
  }

  // --- what this tab holds

  #isFresh() {
    return this.#access !== null && this.#env.now() < this.#expires - this.#lifetime * EARLY;
  }

  #adopt({ access, expires_in: seconds }) {
    this.#write("session", "1");
    this.#take(access, seconds);
    this.#channel?.postMessage({ type: "token", access, seconds });
  }

  #take(access, seconds) {
    const before = this.claims?.sid;
    this.#access = access;
    this.#lifetime = seconds * 1000;
    this.#expires = this.#env.now() + this.#lifetime;
    this.#schedule();
    if (this.claims?.sid !== before) this.#tell("sessionstarted", { claims: this.claims });
    this.#tell("tokenchanged", { expiresIn: seconds });
  }

  #end(reason) {
    const was = this.isAuthenticated;
    this.#write("session", null);
    this.#forget();
    this.#channel?.postMessage({ type: "ended", reason });
    if (was) this.#tell("sessionended", { reason });
  }

  #forget() {
    this.#access = null;
    this.#env.clearTimeout(this.#timer);
  }

  #hear({ type, access, seconds, reason }) {
    if (type === "token") {
      this.#take(access, seconds);
      for (const check of this.#waiting) check();
    } else if (type === "ask" && this.#isFresh()) {
      const left = (this.#expires - this.#env.now()) / 1000;
      this.#channel.postMessage({ type: "token", access: this.#access, seconds: left });
    } else if (type === "ended") {
      const was = this.#access !== null;
      this.#forget();
      if (was) this.#tell("sessionended", { reason });
    }
  }

  // A hidden page asks when it is used again.
  #schedule() {
    this.#env.clearTimeout(this.#timer);
    const delay = this.#lifetime * (1 - EARLY - JITTER * Math.random());
    this.#timer = this.#env.setTimeout(() => {
      if (this.#env.document?.visibilityState === "hidden") return;
      this.#refresh(this.#access).catch(() => {}); // the next call says what is wrong
    }, delay);
    this.#timer?.unref?.();
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // --- requests and storage

  async #post(path, { body, key, patient = false } = {}) {
    const headers = {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (key) headers["Idempotency-Key"] = key;
    const until = this.#env.now() + LONGEST_WAIT;
    for (;;) {
      const response = await this.#env.fetch(new URL(path, this.#authUrl).href, {
        method: "POST",
        credentials: "include",
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: AbortSignal.timeout(this.#timeout),
      });
      if (response.ok) return response.status === 204 ? null : response.json();
      const error = new AuthError(response, await json(response));
      const wait = error.retryAfter * 1000;
      const isBusy = (error.status === 429 || error.status === 503) && wait > 0;
      if (!patient || !isBusy || this.#env.now() + wait > until) throw error;
      await new Promise((resolve) => this.#env.setTimeout(resolve, wait));
    }
  }

  #read(name) {
    try {
      if (this.#env.storage) return this.#env.storage.getItem(`${this.#name}:${name}`);
    } catch {
      // blocked since: as if it were not there
    }
    return this.#memory.get(name) ?? null;
  }

  #write(name, value) {
    try {
      if (this.#env.storage) {
        if (value === null) this.#env.storage.removeItem(`${this.#name}:${name}`);
        else this.#env.storage.setItem(`${this.#name}:${name}`, value);
        return true;
      }
    } catch {
      // full or blocked
    }
    if (value === null) this.#memory.delete(name);
    else this.#memory.set(name, value);
    return false;
  }
}

function ownStorage() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null; // blocked by the browser's settings
  }
}

function randomKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function decode(token) {
  try {
    const text = atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (c) => c.charCodeAt(0))));
  } catch {
    return null;
  }
}

async function json(response) {
  return response.json().catch(() => null);
}
