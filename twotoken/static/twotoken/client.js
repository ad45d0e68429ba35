/**
 * The browser's half of twotoken: it refreshes without the user noticing. No build step, no dependency.
 *
 * The access token is only in this module's memory. The refresh token is in an HttpOnly cookie that no script can
 * read. localStorage holds no token. It holds a marker, which says that there is a session or why it ended, and the
 * Idempotency-Key of the last refresh. With `dpop`, IndexedDB holds a private key that no script can read either.
 *
 * @module twotoken/client
 */

/** @typedef {import("./client.js").ClientOptions} ClientOptions */
/** @typedef {import("./client.js").Environment} Environment */
/** @typedef {import("./client.js").Claims} Claims */
/** @typedef {import("./client.js").DeviceKeys} DeviceKeys */
/** @typedef {import("./client.js").AuthError} DeclaredError */
/** @typedef {{ access: string, expires_in: number }} Pair */
/**
 * @typedef {{ value: string, used: number, answered: boolean, lost?: number, gaveUp?: number }} Key
 *   `lost`: when the key was last used without an answer; `gaveUp`: when it was last used with a DPoP proof and timed out
 */
/** @typedef {{ privateKey: CryptoKey, jwk: JsonWebKey }} Device the key that a session is bound to */
/** @typedef {{ sid: string, reason: string | null, login?: number }} Marker `reason`: why the session ended, null while it has not */

const KEY_KEPT = 30_000; // an Idempotency-Key is used again for this time, so that a request that a proxy delayed does not look like a theft
const LATE = 60_000; // a request without an answer may arrive this much later; the server refuses an older DPoP proof
const CLOCK_OFF = 30_000; // if a proof is refused and the clocks differ by more than this, a new proof is made with the server's time
const STEP_UP_TRIES = 3; // how often the user may try a password, as with sudo
const EARLY = 0.2; // refresh when this part of the token's life is left
const JITTER = 0.1; // up to this part earlier, at random, so that not all tabs and users refresh at once
const LONGEST_WAIT = 30_000; // the longest wait for a server that sends Retry-After
const HANDOVER = 1_000; // the longest wait for a token that another tab has just fetched
const RETRIES = 4; // of a refresh or logout whose answer was lost
const FIRST_PAUSE = 500; // before the first retry, at most; each further pause is twice as long
const LONGEST_RETRY = 10_000; // after the first loss, no retry starts later than this
const RECENT_LOGIN = 3_600_000; // the cookie of a login that is not older than this can't have expired
const SHORTEST_TIMER = 1_000; // near the session's absolute expiry a token lives for almost no time: don't refresh without a pause
const LONGEST_TIMER = 2 ** 31 - 1; // browsers fire a longer timer at once

const NO_COOKIE =
  "twotoken: this browser has just logged in, but its refresh cookie does not reach the server, so a reload logs out. " +
  "Over plain http, the cookie needs COOKIE_SECURE: False. If the page and the API have different host names, " +
  "such as localhost and 127.0.0.1, use one, or set COOKIE_SAMESITE. If a proxy changes the path, set COOKIE_PATH.";

/**
 * An unexpected answer: an error status, or no JSON. Network errors are not wrapped: they stay fetch's TypeError.
 *
 * @implements {DeclaredError}
 */
export class AuthError extends Error {
  /** @param {Response} response @param {any} body the parsed JSON, null if it is not JSON */
  constructor(response, body) {
    super(body?.detail ?? `The answer was ${response.status}${body ? "" : ", without JSON"}.`);
    this.name = "AuthError";
    /** @type {number} */
    this.status = response.status;
    /** @type {string} */
    this.code = body?.code ?? "";
    /** @type {string} */
    this.reason = body?.reason ?? "";
    /** @type {Record<string, string[]> | null} Errors by field, if the status is 400. */
    this.fields = response.status === 400 ? body : null;
    /** @type {number} Seconds. */
    this.retryAfter = Number(response.headers.get("Retry-After")) || 0;
  }
}

/**
 * Create a page's client: one for each mount of `twotoken.urls`.
 *
 * @param {ClientOptions} options
 * @param {Environment} [environment]
 * @returns {import("./client.js").Client}
 */
export function createClient(options, environment = {}) {
  return /** @type {any} */ (new Client(options, environment)); // any: EventTarget does not type event names
}

/** @implements {Omit<import("./client.js").Client, "addEventListener" | "removeEventListener">} */
class Client extends EventTarget {
  #env;
  #authUrl;
  /** @type {Set<string>} */
  #origins;
  #timeout;
  #sendsKeys;
  #dpop;
  #binds;
  #onStepUp;
  #name;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** @type {Promise<void> | null} */
  #flight = null;
  /** @type {Promise<unknown>} */
  #turn = Promise.resolve();
  /** @type {any} */
  #timer;
  /** @type {Set<() => void>} */
  #waiting = new Set();
  /** @type {Set<() => void>} Functions that end the pauses before a retry. */
  #pauses = new Set();
  /** @type {Map<string, string>} */
  #memory = new Map();
  /** @type {AuthError | null} */
  #busy = null;
  #notBefore = 0; // a busy server may be asked again from this time on
  /** @type {Device | null} */
  #device = null;
  /** @type {Map<string, string>} The newest DPoP-Nonce of each origin. */
  #nonces = new Map();
  #clockLag = 0; // the server's time minus this browser's, after a proof was refused for its time
  /** @type {Promise<string | null> | null} */
  #stepUpFlight = null;
  #declined = 0; // how often the page has answered onStepUp with null
  #isDestroyed = false;

  /** @type {string | null} */
  #access = null;
  /** @type {string | null} The session's id, while there is a token. */
  #sid = null;
  /** @type {string | null} The session that ended last. Later answers for it are ignored. */
  #ended = null;
  #expires = 0; // by this tab's clock, which may differ from the server's
  #lifetime = 0;

  /** @param {ClientOptions} options @param {Environment} environment */
  constructor({ authUrl, apiOrigins, timeout = 30_000, keys = true, dpop = false, onStepUp }, environment) {
    super();
    if (dpop && !keys) throw new TypeError("keys: false is for several origins, and each would have a dpop key of its own.");
    this.#env = {
      /** @type {typeof fetch} */
      fetch: (...args) => globalThis.fetch(...args),
      locks: globalThis.navigator?.locks,
      BroadcastChannel: globalThis.BroadcastChannel,
      location: globalThis.location,
      document: globalThis.document,
      window: globalThis.window,
      now: () => Date.now(),
      /** @type {(callback: () => void, milliseconds: number) => any} */
      setTimeout: (...args) => globalThis.setTimeout(...args),
      /** @type {(timer: any) => void} */
      clearTimeout: (timer) => globalThis.clearTimeout(timer),
      ...environment,
      storage: environment.storage === undefined ? ownStorage() : environment.storage,
      deviceKeys: environment.deviceKeys === undefined ? ownDeviceKeys() : environment.deviceKeys,
    };
    this.#authUrl = new URL(authUrl.replace(/\/?$/, "/"), this.#env.location?.href);
    const own = this.#env.location ? [this.#env.location.origin] : [];
    this.#origins = new Set(apiOrigins ?? [...own, this.#authUrl.origin]);
    this.#timeout = timeout;
    // All tabs send the same cookie, so they must send the same Idempotency-Key. If they have no lock or no storage to
    // share it, no key is sent, and the server's BROWSER_GRACE covers refreshes of several tabs.
    this.#sendsKeys = keys && Boolean(this.#env.locks && this.#env.storage);
    this.#dpop = dpop;
    this.#binds = dpop && this.#sendsKeys && this.#env.deviceKeys !== null; // without a lock, two tabs could make two keys
    this.#onStepUp = onStepUp;
    this.#name = `twotoken:${this.#authUrl.href}`;
    if (this.#env.BroadcastChannel) {
      this.#channel = new this.#env.BroadcastChannel(this.#name);
      this.#channel.onmessage = ({ data }) => this.#hear(data);
    }
    this.#env.window?.addEventListener("online", this.#resume);
    this.#bind("login", "logout", "logoutAll", "restore", "fetch", "accessToken", "destroy");
  }

  // A page can hand a method over without its client: `onClick={client.logout}`.
  /** @param {string[]} names */
  #bind(...names) {
    const methods = /** @type {any} */ (this);
    for (const name of names) methods[name] = methods[name].bind(this);
  }

  /** Whether there is a session: this tab has a token, or the marker says that it can get one. */
  get isAuthenticated() {
    const marker = this.#marker();
    // Another tab's message may arrive before what that tab wrote to the storage.
    return this.#access !== null || (marker?.reason === null && marker.sid !== this.#ended);
  }

  /**
   * The claims of the access token, or null. They are not verified here: only the server can do that.
   *
   * @returns {Claims | null}
   */
  get claims() {
    return this.#access === null ? null : decode(this.#access);
  }

  /**
   * Log in. Rejects with an AuthError, or with fetch's error if no answer came. A login is never repeated.
   * With `dpop: "required"`, it rejects with a NotSupportedError if this browser can't keep a key.
   *
   * @param {Record<string, unknown>} credentials
   * @returns {Promise<void>}
   */
  async login(credentials) {
    await this.#alone(async () => {
      const device = await this.#deviceForLogin();
      this.#adopt(await this.#post("login/", { body: credentials, device }), this.#env.now());
    });
  }

  /**
   * Log out in all tabs. Rejects if no answer came, even after retries: then the session may still be active on the
   * server.
   *
   * @returns {Promise<void>}
   */
  async logout() {
    const work = async () => {
      const sid = this.#known();
      await this.#post("logout/");
      this.#end(sid, "logout");
    };
    await this.#retried(() => this.#alone(work));
  }

  /**
   * Log out on all devices. Rejects if no answer came.
   *
   * @returns {Promise<void>}
   */
  async logoutAll() {
    const sid = this.#known();
    const response = await this.fetch(new URL("logout/all/", this.#authUrl), { method: "POST" });
    if (response.status === 204) this.#end(sid, "logout");
    else if (response.status !== 401 || this.isAuthenticated) throw new AuthError(response, await json(response));
  }

  /**
   * Get an access token if there is a session, and tell whether there is one. A visitor who never logged in causes
   * no request. After a login by redirect there is no marker: then `force` asks the server anyway, and takes the
   * session of the cookie. Only such a refresh may change the session.
   *
   * @param {{ force?: boolean }} [options]
   * @returns {Promise<boolean>}
   */
  async restore({ force = false } = {}) {
    if (force) await this.#flight?.catch(() => {}); // it may have been sent before the login
    if (force || (this.isAuthenticated && !this.#isFresh())) await this.#refresh(force);
    return this.#access !== null;
  }

  /**
   * Like fetch, but a request to the API's origins carries the access token. After a 401 the token is refreshed and
   * the request is sent a second time. If the API wants a more recent login, `onStepUp` is asked. A request with its own
   * Authorization header is not changed. Rejects as fetch does, and if a refresh or step-up failed and the session has
   * not ended.
   *
   * @param {RequestInfo | URL} input
   * @param {RequestInit} [init]
   * @returns {Promise<Response>}
   */
  async fetch(input, init) {
    const request = new Request(typeof input === "string" ? new URL(input, this.#env.location?.href) : input, init);
    if (!this.#origins.has(new URL(request.url).origin) || request.headers.has("Authorization")) {
      return this.#env.fetch(request);
    }
    const sid = this.#sid;
    if (this.isAuthenticated && !this.#isFresh()) await unlessAborted(this.#refresh(), request.signal);
    const access = this.#tokenOf(sid);
    if (access === null) return this.#env.fetch(request);
    const copies = repeatable(request);
    try {
      return await this.#persist(copies, access, sid ?? sessionOf(access), request.signal);
    } finally {
      copies.drop();
    }
  }

  /**
   * The access token, for requests that fetch can't send, such as a WebSocket; null if there is no session. It is
   * refreshed first if it is about to expire. Rejects if the refresh got no answer. The API refuses a bound token that
   * comes without a DPoP proof.
   *
   * @returns {Promise<string | null>}
   */
  async accessToken() {
    if (this.isAuthenticated && !this.#isFresh()) await this.#refresh();
    return this.#access;
  }

  /** Stop the timers and close the channel. The session stays. Later calls of this client are refused. */
  destroy() {
    this.#isDestroyed = true;
    this.#channel?.close();
    this.#channel = null;
    this.#env.window?.removeEventListener("online", this.#resume);
    this.#resume();
    this.#forget();
  }

  // --- API requests

  /**
   * After a 401, send the request again with a new token: once after a refresh, and up to twice after a step-up.
   *
   * @param {ReturnType<typeof repeatable>} copies @param {string} access @param {string} sid @param {AbortSignal} signal
   */
  async #persist(copies, access, sid, signal) {
    for (let [hasRefreshed, steps] = [false, 0]; ; ) {
      const declined = this.#declined;
      const response = await this.#sendAs(copies, access);
      if (response.status !== 401 || this.#isForeign(response)) return response;
      const maxAge = await stepUpOf(response);
      let next = null;
      if (maxAge === null && !hasRefreshed) {
        hasRefreshed = true;
        if (this.#access === access) await unlessAborted(this.#refresh(), signal);
        next = this.#tokenOf(sid);
      } else if (maxAge !== null && steps < 2) {
        steps += 1; // twice: a refresh in another tab may have replaced the token of the first step-up
        // If this request was sent before the user declined, the user has declined it too: don't ask again.
        if (declined !== this.#declined) return response;
        next = await unlessAborted(this.#stepUp(maxAge, access, sid), signal);
      }
      if (next === null) return response;
      discard(response);
      access = next;
    }
  }

  /** @param {ReturnType<typeof repeatable>} copies @param {string} access @returns {Promise<Response>} */
  async #sendAs(copies, access) {
    for (let isAgain = false; ; isAgain = true) {
      const request = copies.next();
      const url = new URL(request.url);
      const device = isBound(access) ? await this.#deviceOf() : null;
      request.headers.set("Authorization", authorization(access));
      if (device) request.headers.set("DPoP", await this.#prove(device, request.method, url, access));
      const response = await this.#env.fetch(request);
      const challenge = (response.status === 401 && response.headers.get("WWW-Authenticate")) || "";
      const code = /use_dpop_nonce|invalid_dpop_proof/.exec(challenge)?.[0];
      if (!device || this.#isForeign(response) || !this.#learns(url, response, code) || isAgain) return response;
      discard(response);
    }
  }

  // After a redirect, the answer may come from another server, which did not get the token. That server must not choose
  // nonces for the API's proofs, and must not have the user asked for a password.
  /** @param {Response} response */
  #isForeign({ redirected, url }) {
    return redirected && !this.#origins.has(new URL(url).origin);
  }

  /**
   * Get a token whose `auth_time` is recent enough: `onStepUp` asks the user. All requests of this tab share one
   * question. Null: there is no such token.
   *
   * @param {number} maxAge @param {string} access the token that was refused @param {string} sid
   * @returns {Promise<string | null>}
   */
  async #stepUp(maxAge, access, sid) {
    const current = this.#tokenOf(sid);
    if (current !== access) return current; // a newer token, perhaps from another tab's step-up
    this.#stepUpFlight ??= this.#askForStepUp(maxAge, sid).finally(() => (this.#stepUpFlight = null));
    const stepped = await this.#stepUpFlight;
    return stepped !== null && sessionOf(stepped) === sid ? stepped : null;
  }

  /** @param {number} maxAge @param {string} sid @returns {Promise<string | null>} */
  async #askForStepUp(maxAge, sid) {
    let error;
    for (let tries = 0; tries < STEP_UP_TRIES; tries += 1) {
      const credentials = await this.#onStepUp?.({ maxAge, error });
      if (!credentials) {
        this.#declined += 1;
        return null;
      }
      await this.accessToken(); // the token may have expired while the user typed
      try {
        return await this.#alone(() => this.#reauthenticate(credentials, sid));
      } catch (refusal) {
        if (isRefusal(refusal)) {
          await this.#refresh(); // its answer tells whether the session is over
          return null;
        }
        if (!isWrong(refusal)) throw refusal;
        error = refusal;
      }
    }
    throw error;
  }

  /** @param {object} body @param {string} sid @returns {Promise<string | null>} */
  async #reauthenticate(body, sid) {
    const access = this.#tokenOf(sid);
    if (access === null) return null; // another user has logged in meanwhile
    const device = isBound(access) ? await this.#deviceOf() : null;
    const pair = await this.#post("reauthenticate/", { body, access, device });
    if (sessionOf(pair.access) !== sid) return null;
    this.#adopt(pair);
    return pair.access;
  }

  // --- proofs by the device's key (RFC 9449)

  /**
   * The key that the session is bound to, or null. With `again` it is read from the storage again, because another
   * tab may have logged in. If the storage was lost, this tab's copy is used until the page is reloaded.
   *
   * @param {{ again?: boolean }} [options]
   */
  async #deviceOf({ again = false } = {}) {
    if (!this.#binds || (this.#device && !again)) return this.#device;
    try {
      const pair = await /** @type {DeviceKeys} */ (this.#env.deviceKeys).get(this.#name);
      if (pair) this.#device = await deviceOf(pair);
    } catch {
      // lost storage: the server refuses the refresh as `wrong_device`, which is the end of the session
    }
    return this.#device;
  }

  // A login makes a new key, so that proofs that an injected script has signed ahead with the old key become useless. But
  // while a session is active, its key stays, because the login may fail.
  async #deviceForLogin() {
    if (!this.#dpop) return null;
    try {
      if (this.isAuthenticated && (await this.#deviceOf({ again: true }))) return this.#device;
      const keys = /** @type {DeviceKeys} */ (this.#binds && this.#env.deviceKeys);
      const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
      await keys.set(this.#name, pair);
      this.#device = await deviceOf(pair);
      return this.#device;
    } catch (cause) {
      if (this.#dpop !== "required") return null;
      const text = "This browser can't keep a key, and dpop is required: it lacks WebCrypto, IndexedDB, localStorage or Web Locks.";
      throw Object.assign(new DOMException(text, "NotSupportedError"), { cause });
    }
  }

  /** @param {Device} device @param {string} method @param {URL} url @param {string | null} access */
  async #prove({ privateKey, jwk }, method, { origin, pathname }, access) {
    const nonce = this.#nonces.get(origin);
    const iat = Math.floor((this.#env.now() + this.#clockLag) / 1000);
    const ath = access === null ? undefined : base64url(await crypto.subtle.digest("SHA-256", bytesOf(access)));
    const parts = [{ typ: "dpop+jwt", alg: "ES256", jwk }, { jti: randomKey(), htm: method, htu: origin + pathname, iat, ath, nonce }];
    const signed = parts.map((part) => base64url(bytesOf(JSON.stringify(part)))).join(".");
    const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, privateKey, bytesOf(signed));
    return `${signed}.${base64url(signature)}`;
  }

  /**
   * Keep the newest nonce. Tell whether a second proof can succeed, because the first had a wrong nonce or a wrong time.
   *
   * @param {URL} url @param {Response} response @param {string} [code]
   */
  #learns({ origin }, { headers }, code) {
    const nonce = headers.get("DPoP-Nonce");
    if (nonce) this.#nonces.set(origin, nonce);
    if (code !== "invalid_dpop_proof") return code === "use_dpop_nonce" && Boolean(nonce);
    const lag = Date.parse(headers.get("Date") ?? "") - this.#env.now(); // NaN if the header can't be read
    const isOff = Math.abs(lag - this.#clockLag) > CLOCK_OFF;
    if (isOff) this.#clockLag = lag;
    return isOff;
  }

  // --- refresh: one at a time; in this tab by one promise, across tabs by one lock

  #refresh(force = false) {
    this.#flight ??= this.#refreshPatiently(this.#access, force).finally(() => (this.#flight = null));
    return this.#flight;
  }

  // Wait for a busy server outside the lock, so that the wait does not delay a login or logout.
  /** @param {string | null} stale @param {boolean} force */
  async #refreshPatiently(stale, force) {
    const since = this.#env.now();
    for (;;) {
      const wait = this.#notBefore - this.#env.now();
      // A wait longer than Retry-After means that the clock was set back: don't wait.
      if (this.#busy && wait > 0 && wait <= this.#busy.retryAfter * 1000) {
        if (this.#notBefore > since + LONGEST_WAIT) throw this.#busy;
        await new Promise((resolve) => this.#env.setTimeout(() => resolve(null), wait));
      }
      try {
        const wait = await this.#retried(() => this.#alone(() => this.#refreshAlone(stale, since, force)));
        this.#refuseIfDestroyed();
        if (wait === undefined) return;
        await this.#pause(wait);
      } catch (error) {
        if (!isBusy(error)) throw error;
        this.#busy = error;
        this.#notBefore = this.#env.now() + error.retryAfter * 1000;
      }
    }
  }

  // Do work that is safe to repeat, and repeat it if its answer was lost. The pauses are outside the lock.
  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  async #retried(work) {
    let last = Infinity;
    for (let retries = 0; ; retries += 1) {
      try {
        return await work();
      } catch (error) {
        const pause = FIRST_PAUSE * 2 ** retries * (1 - Math.random() / 2);
        last = Math.min(last, this.#env.now() + LONGEST_RETRY);
        if (!isLost(error) || retries === RETRIES || this.#env.now() + pause > last) throw error;
        await this.#pause(pause);
      }
    }
  }

  /** @param {number} milliseconds @returns {Promise<void>} */
  #pause(milliseconds) {
    return new Promise((resolve) => {
      const done = () => {
        this.#pauses.delete(done);
        this.#env.clearTimeout(timer);
        resolve();
      };
      const timer = this.#env.setTimeout(done, milliseconds);
      this.#pauses.add(done);
    });
  }

  #resume = () => {
    for (const done of this.#pauses) done();
  };

  /**
   * @param {string | null} stale @param {number} since @param {boolean} force
   * @returns {Promise<number | undefined>} milliseconds to wait before the refresh may be sent, if it was not sent
   */
  async #refreshAlone(stale, since, force) {
    const marker = this.#marker();
    if (marker !== null && marker.reason !== null && marker.sid === this.#sid) this.#finish(marker.sid, marker.reason);
    if (!force && !this.isAuthenticated) return; // the session ended while this tab waited for its turn
    if (this.#access !== stale && this.#isFresh()) return;
    const last = this.#lastKey();
    if (last?.answered && last.used >= since && (await this.#handedOver(stale))) return;
    const wait = this.#youth(last);
    if (wait > 0) return wait;
    const key = this.#nextKey(last);
    const sid = this.#known();
    const device = await this.#deviceOf({ again: true });
    try {
      const pair = await this.#post("refresh/", { key: key?.value, device });
      this.#answered(key);
      // A refresh must not change the session, unless a login caused it (`force`): an attacker who can set cookies could
      // otherwise put in their own session.
      if (force || sessionOf(pair.access) === this.#held(sid)) this.#adopt(pair);
      else this.#end(sid, "replaced");
    } catch (error) {
      if (device && key && isTimeout(error)) this.#write("key", JSON.stringify({ ...key, gaveUp: key.used }));
      if (!isRefusal(error)) throw error; // the session has not ended: the next try sends the same key
      this.#answered(key);
      if (error.reason === "missing" && this.#env.now() - (this.#marker()?.login ?? -Infinity) < RECENT_LOGIN) console.warn(NO_COOKIE);
      this.#end(sid, error.reason);
    }
  }

  // Refresh, login and logout never overlap: the cookie of a late answer could overwrite the cookie of a newer one.
  // Without Web Locks this holds in this tab only.
  /** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
  #alone(work) {
    const turn = () => {
      this.#refuseIfDestroyed();
      return work();
    };
    if (this.#env.locks) return this.#env.locks.request(this.#name, turn);
    const result = this.#turn.then(turn);
    this.#turn = result.catch(() => {});
    return result;
  }

  #refuseIfDestroyed() {
    if (this.#isDestroyed) throw new Error("This client was destroyed.");
  }

  /** @returns {Key | null} */
  #lastKey() {
    const key = this.#sendsKeys ? parse(this.#read("key")) : null;
    return isKey(key) ? key : null; // a key that the server refuses would never get an answer, and so never be replaced
  }

  // How long the next refresh must wait. A refresh that timed out may be retried at once. But the token from the retry is
  // not sent while the proof of the first request is good: that request could still arrive after it, and its older token
  // would look like a theft.
  /** @param {Key | null} last */
  #youth(last) {
    return last?.answered && last.gaveUp !== undefined ? LATE - Math.abs(this.#env.now() - last.gaveUp) : 0;
  }

  // The key is stored before the request. A key without an answer is used again, however old it is: its request may
  // have rotated the token. A key with an answer is kept for KEY_KEPT after its last use; then a new one is made. But
  // a request that got no answer may arrive up to LATE later and rotate the token with its key. So its key is kept until
  // an answer comes after that time. Otherwise the late request would arrive after a rotation with another key, and its
  // older token would look like a theft.
  /** @param {Key | null} last @returns {Key | null} */
  #nextKey(last) {
    if (!this.#sendsKeys) return null;
    const now = this.#env.now();
    const lost = last && !last.answered ? last.used : last?.lost;
    const isKept =
      last !== null && (!last.answered || Math.abs(now - last.used) < KEY_KEPT || Math.abs(last.used - (lost ?? -LATE)) < LATE);
    const kept = isKept ? { value: last.value, lost, gaveUp: last.gaveUp } : { value: randomKey() };
    const key = { ...kept, used: now, answered: false };
    return this.#write("key", JSON.stringify(key)) || isKept ? key : null;
  }

  /** @param {Key | null} key */
  #answered(key) {
    if (key) this.#write("key", JSON.stringify({ ...key, used: this.#env.now(), answered: true }));
  }

  /** @param {string | null} stale @returns {Promise<boolean>} */
  #handedOver(stale) {
    return new Promise((resolve) => {
      /** @param {boolean} result */
      const done = (result) => {
        this.#waiting.delete(check);
        this.#env.clearTimeout(timer);
        resolve(result);
      };
      const check = () => {
        if (this.#access !== stale && this.#isFresh()) done(true);
      };
      const timer = this.#env.setTimeout(() => done(false), this.#channel ? HANDOVER : 0);
      this.#waiting.add(check);
      this.#channel?.postMessage({ type: "ask" });
    });
  }

  // --- what this tab holds

  #isFresh() {
    return this.#access !== null && this.#env.now() < this.#expires - this.#lifetime * EARLY;
  }

  /** The session of this tab's token. If there is no token, the session of the marker. */
  #known() {
    return this.#sid ?? this.#marker()?.sid ?? null;
  }

  // The session that a refresh's answer must belong to. A login in another tab may have changed it meanwhile.
  /** @param {string | null} sid the session when the refresh was sent */
  #held(sid) {
    const marker = this.#marker();
    return marker?.reason === null ? marker.sid : (this.#sid ?? sid);
  }

  // A request belongs to the session in which it was started: it is never sent as a user who logged in later.
  /** @param {string | null} sid @returns {string | null} */
  #tokenOf(sid) {
    return sid === null || sid === this.#sid ? this.#access : null;
  }

  // The marker keeps the time of the login until the first refresh, which shows that the cookie reaches the server.
  /** @param {Pair} pair @param {number} [login] */
  #adopt({ access, expires_in: seconds }, login) {
    const sid = sessionOf(access);
    if (sid === this.#ended) return; // a late answer; possible without a lock across tabs
    this.#write("session", JSON.stringify({ sid, reason: null, login }));
    this.#channel?.postMessage({ type: "token", access, seconds });
    if (!this.#isDestroyed) this.#take(access, seconds);
  }

  /** @param {string} access @param {number} seconds */
  #take(access, seconds) {
    const [before, sid] = [this.#sid, sessionOf(access)];
    if (sid === this.#ended) return;
    if (before !== null && before !== sid) this.#finish(before, "replaced");
    if (before !== sid) this.#device = null; // the new session's login may have made a new key
    this.#access = access;
    this.#sid = sid;
    this.#lifetime = seconds * 1000;
    this.#expires = this.#env.now() + this.#lifetime;
    this.#schedule(this.#env.now() + this.#lifetime * (1 - EARLY - JITTER * Math.random()));
    if (before !== sid) this.#tell("sessionstarted", { claims: this.claims });
    this.#tell("tokenchanged", { expiresIn: seconds });
  }

  /** @param {string | null} sid @param {string} reason */
  #end(sid, reason) {
    const marker = this.#marker();
    const isMarked = marker !== null && marker.sid === sid && marker.reason === null;
    if (isMarked) this.#write("session", JSON.stringify({ sid, reason }));
    this.#channel?.postMessage({ type: "ended", sid, reason });
    this.#finish(sid, reason, isMarked);
  }

  // End the session in this tab. Only the tab that ended it writes the marker: a tab that hears of it late could overwrite
  // the marker of another session.
  /** @param {string | null} sid @param {string} reason */
  #finish(sid, reason, isMarked = false) {
    if (sid === null) return;
    const isHeld = this.#sid === sid;
    this.#ended = sid;
    if (!this.#env.storage) this.#write("session", null);
    if (isHeld) this.#forget();
    if (isHeld || isMarked) this.#tell("sessionended", { reason });
  }

  #forget() {
    this.#access = null;
    this.#sid = null;
    this.#env.clearTimeout(this.#timer);
  }

  /** @param {{ type: string, access: string, seconds: number, sid: string, reason: string }} message */
  #hear({ type, access, seconds, sid, reason }) {
    if (type === "token" || (type === "handover" && this.#waiting.size > 0)) {
      this.#take(access, seconds);
      for (const check of this.#waiting) check();
    } else if (type === "ask" && this.#isFresh()) {
      const left = (this.#expires - this.#env.now()) / 1000;
      this.#channel?.postMessage({ type: "handover", access: this.#access, seconds: left });
    } else if (type === "ended") {
      // A tab that has no token yet also learns that the session has ended.
      this.#finish(sid, reason, sid !== this.#ended && sid === this.#marker()?.sid);
    }
  }

  // A hidden page does not refresh when the time is due. Its next request does.
  /** @param {number} due */
  #schedule(due) {
    this.#env.clearTimeout(this.#timer);
    const delay = Math.min(Math.max(due - this.#env.now(), SHORTEST_TIMER), LONGEST_TIMER);
    this.#timer = this.#env.setTimeout(() => {
      if (delay === LONGEST_TIMER) return this.#schedule(due);
      if (this.#env.document?.visibilityState === "hidden") return;
      this.#refresh().catch(() => {}); // the next call reports the error
    }, delay);
    this.#timer?.unref?.();
  }

  /** @param {string} type @param {object} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  // --- requests and storage

  /**
   * @param {string} path
   * @param {{ body?: object, key?: string, access?: string | null, device?: Device | null }} [options]
   * @returns {Promise<any>}
   */
  async #post(path, { body, key, access = null, device = null } = {}) {
    const url = new URL(path, this.#authUrl);
    /** @type {Record<string, string>} */
    const headers = {};
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (key) headers["Idempotency-Key"] = key;
    if (access !== null) headers.Authorization = authorization(access);
    const abort = new AbortController();
    const late = new DOMException("The server did not answer in time.", "TimeoutError");
    const timer = this.#env.setTimeout(() => abort.abort(late), this.#timeout);
    try {
      for (let isAgain = false; ; isAgain = true) {
        if (device) headers.DPoP = await this.#prove(device, "POST", url, access);
        const response = await this.#env.fetch(url.href, {
          method: "POST",
          credentials: "include",
          redirect: "error", // don't send a password to an address that the page did not name
          headers,
          body: body === undefined ? undefined : JSON.stringify(body),
          signal: abort.signal,
        });
        const answer = response.status === 204 ? null : await json(response);
        const isBetter = device !== null && this.#learns(url, response, answer?.code) && !isAgain;
        if (isBetter) continue;
        // A proxy may answer instead of the server, with any status.
        if (response.status === 204 ? path === "logout/" : response.ok && isPair(answer)) return answer;
        throw new AuthError(response, answer);
      }
    } finally {
      this.#env.clearTimeout(timer);
    }
  }

  /** @returns {Marker | null} */
  #marker() {
    const marker = parse(this.#read("session"));
    return isMarker(marker) ? marker : null;
  }

  /** @param {string} name @returns {string | null} */
  #read(name) {
    try {
      return this.#env.storage?.getItem(`${this.#name}:${name}`) ?? this.#memory.get(name) ?? null;
    } catch {
      return this.#memory.get(name) ?? null; // storage was blocked meanwhile
    }
  }

  /** @param {string} name @param {string | null} value @returns {boolean} whether other tabs can read it */
  #write(name, value) {
    this.#memory.delete(name);
    try {
      if (this.#env.storage) {
        if (value === null) this.#env.storage.removeItem(`${this.#name}:${name}`);
        else this.#env.storage.setItem(`${this.#name}:${name}`, value);
        return true;
      }
    } catch {
      // storage is full or blocked
    }
    if (value !== null) this.#memory.set(name, value);
    return false;
  }
}

// Whether the server has refused the session. Answers of proxies and throttles are not refusals.
/** @param {any} error @returns {error is AuthError} */
const isRefusal = (error) => error.status === 401 && error.code === "token_not_valid";

/** @param {any} error @returns {error is AuthError} */
const isBusy = (error) => (error.status === 429 || error.status === 503) && error.retryAfter > 0;

// Whether the answer was lost, so that the server may have done what it was asked. TypeError is a network error. A timeout
// does not count, because the user has waited long enough.
/** @param {any} error @returns {boolean} */
const isLost = (error) => error instanceof TypeError || (error.status >= 500 && !isBusy(error));

// Whether the user's answer to a step-up was wrong, and they may try again.
/** @param {any} error @returns {error is AuthError} */
const isWrong = (error) => (error.status === 400 || error.status === 401) && error.code !== "invalid_dpop_proof";

/** @param {any} error @returns {boolean} */
const isTimeout = (error) => error.name === "TimeoutError";

/** @param {any} answer @returns {boolean} */
const isPair = (answer) => typeof answer?.access === "string" && typeof answer.expires_in === "number";

/** @param {any} key @returns {key is Key} */
const isKey = (key) =>
  typeof key?.value === "string" &&
  /^[!#-~]{8,255}$/.test(key.value) && // what the server accepts, unquoted
  Number.isFinite(key.used) &&
  Number.isFinite(key.lost ?? 0) &&
  Number.isFinite(key.gaveUp ?? 0) &&
  typeof key.answered === "boolean";

/** @param {any} marker @returns {marker is Marker} */
const isMarker = (marker) =>
  typeof marker?.sid === "string" && (marker.reason === null || typeof marker.reason === "string");

/** @param {string} access @returns {string} */
const sessionOf = (access) => String(decode(access)?.sid);

// A bound token names the thumbprint of its key (RFC 9449 section 6.1).
/** @param {string} access */
const isBound = (access) => Boolean(/** @type {any} */ (decode(access)?.cnf)?.jkt);

/** @param {string} access */
const authorization = (access) => `${isBound(access) ? "DPoP" : "Bearer"} ${access}`;

// One record for each mount. Each call opens the database again: a browser may close it between two calls.
/** @returns {DeviceKeys | null} */
function ownDeviceKeys() {
  const { indexedDB, crypto } = globalThis;
  if (!indexedDB || !crypto?.subtle) return null;
  /** @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest} work @returns {Promise<any>} */
  const inStore = async (mode, work) => {
    const opening = indexedDB.open("twotoken", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("keys");
    const database = await settled(opening, "onsuccess", "onerror");
    try {
      const transaction = database.transaction("keys", mode);
      const request = work(transaction.objectStore("keys"));
      await settled(transaction, "oncomplete", "onabort");
      return request.result;
    } finally {
      database.close();
    }
  };
  return {
    get: (name) => inStore("readonly", (store) => store.get(name)),
    set: (name, pair) => inStore("readwrite", (store) => store.put(pair, name)),
  };
}

/** @param {any} request @param {string} good @param {string} bad @returns {Promise<any>} */
function settled(request, good, bad) {
  return new Promise((resolve, reject) => {
    request[good] = () => resolve(request.result);
    request[bad] = () => reject(request.error);
  });
}

/** @param {CryptoKeyPair} pair @returns {Promise<Device>} */
async function deviceOf({ privateKey, publicKey }) {
  const { crv, kty, x, y } = await crypto.subtle.exportKey("jwk", publicKey);
  return { privateKey, jwk: { crv, kty, x, y } };
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

/** @param {string} text */
const bytesOf = (text) => new TextEncoder().encode(text);

/** @param {ArrayBuffer | Uint8Array} bytes */
const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

/** @param {string} token @returns {Claims | null} */
function decode(token) {
  try {
    const text = atob(token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (c) => c.charCodeAt(0))));
  } catch {
    return null;
  }
}

/** @param {string | null} text @returns {any} null if it is not JSON */
function parse(text) {
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

/** @param {Response} response */
async function json(response) {
  return parse(await response.text());
}

// How old a login may be, in seconds, if a 401 says that the token's login is too old (RFC 9470 section 3); otherwise null.
// A page of another origin may be unable to read the header. In this case the body says it.
/** @param {Response} response @returns {Promise<number | null>} */
async function stepUpOf(response) {
  const challenge = response.headers.get("WWW-Authenticate");
  const { code, max_age: age } = challenge === null ? ((await json(response.clone())) ?? {}) : parameters(challenge);
  return code === "insufficient_user_authentication" ? Number(age) || 0 : null;
}

/** @param {string} challenge */
const parameters = (challenge) => ({
  code: /\berror="([^"]*)"/.exec(challenge)?.[1],
  max_age: /\bmax_age="?(\d+)/.exec(challenge)?.[1],
});

// A request's body can be read only once, so a copy is always kept for the next time.
/** @param {Request} request */
function repeatable(request) {
  return {
    next() {
      const current = request;
      request = current.clone();
      return current;
    },
    drop: () => discard(request),
  };
}

/** @param {Request | Response} message its body will not be read */
function discard(message) {
  message.body?.cancel().catch(() => {});
}

/** @template T @param {Promise<T>} promise @param {AbortSignal} signal @returns {Promise<T>} */
function unlessAborted(promise, signal) {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
