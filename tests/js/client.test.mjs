// The client's logic without a browser: several tabs that share storage, locks and a channel, and a server that
// knows the rule of rotation.
import assert from "node:assert/strict";
import { test } from "node:test";

import { AuthError, createClient } from "../../twotoken/static/twotoken/client.js";

const ORIGIN = "https://app.example";

class World {
  constructor({ locks = true, storage = true, lifetime = 900 } = {}) {
    this.store = storage ? new Map() : null;
    this.hasLocks = locks;
    this.lifetime = lifetime;
    this.time = 1_000_000;
    this.tabs = new Set();
    this.queue = Promise.resolve();
    this.requests = [];
    this.generation = -1; // the cookie's, which is always the newest here
    this.lastKey = null;
    this.serial = 0;
    this.valid = new Set();
    this.faults = [];
  }

  tab(options = {}) {
    const world = this;
    const storage = this.store && {
      getItem: (name) => this.store.get(name) ?? null,
      setItem: (name, value) => this.store.set(name, value),
      removeItem: (name) => this.store.delete(name),
    };
    class Channel {
      constructor() { world.tabs.add(this); }
      postMessage(data) {
        for (const other of world.tabs) if (other !== this) queueMicrotask(() => other.onmessage?.({ data }));
      }
      close() { world.tabs.delete(this); }
    }
    const locks = {
      request: (name, work) => {
        const result = world.queue.then(work);
        world.queue = result.catch(() => {});
        return result;
      },
    };
    return createClient({ authUrl: "/api/auth/", ...options }, {
      fetch: (input, init) => this.serve(new Request(input, init)),
      locks: this.hasLocks ? locks : undefined,
      storage,
      BroadcastChannel: Channel,
      location: { href: `${ORIGIN}/page`, origin: ORIGIN },
      now: () => this.time,
      setTimeout: (work, delay) => {
        if (delay <= 30_000) queueMicrotask(() => { this.time += delay; work(); });
        return 1;
      },
      clearTimeout: () => {},
    });
  }

  answer(status, body, headers = {}) {
    return new Response(body === undefined ? null : JSON.stringify(body), { status, headers });
  }

  pair() {
    const payload = Buffer.from(JSON.stringify({ sid: "family", sub: "ä", n: (this.serial += 1) })).toString("base64url");
    const access = `h.${payload}.s`;
    this.valid.add(access);
    return this.answer(200, { access, expires_in: this.lifetime });
  }

  async serve(request) {
    const { pathname, origin } = new URL(request.url);
    const authorization = request.headers.get("Authorization");
    this.requests.push({ pathname, origin, authorization, key: request.headers.get("Idempotency-Key"), body: await request.text() });
    await Promise.resolve();
    const fault = pathname.endsWith("refresh/") ? this.faults.shift() : undefined;
    if (fault === "cut") throw new TypeError("network");
    if (fault instanceof Response) return fault;
    if (pathname.endsWith("login/")) {
      this.generation = 0;
      return this.pair();
    }
    if (pathname.endsWith("logout/") || pathname.endsWith("all/")) {
      this.generation = -1;
      return this.answer(204);
    }
    if (pathname.endsWith("refresh/")) {
      if (this.generation < 0) return this.answer(401, { code: "token_not_valid", reason: "revoked" });
      const key = request.headers.get("Idempotency-Key");
      if (!key || key !== this.lastKey) this.generation += 1;
      this.lastKey = key;
      if (fault === "lose") throw new TypeError("network");
      return this.pair();
    }
    return this.valid.has(authorization?.slice(7)) ? this.answer(200, {}) : this.answer(401, { reason: "expired" });
  }

  expire() { this.valid.clear(); }
  count(path) { return this.requests.filter(({ pathname }) => pathname.endsWith(path)).length; }
}

const started = async (world, tab = world.tab()) => {
  await tab.login({ username: "ann", password: "x" });
  return tab;
};

test("many requests with an expired token cause one refresh, and each is sent once more", async () => {
  const world = new World();
  const tab = await started(world);
  world.expire();
  const responses = await Promise.all(Array.from({ length: 30 }, () => tab.fetch("/api/me/")));
  assert.deepEqual(new Set(responses.map(({ status }) => status)), new Set([200]));
  assert.equal(world.count("refresh/"), 1);
  assert.equal(world.count("me/"), 60);
});

test("a request body is sent again as it was, a stream's too", async () => {
  const world = new World();
  const tab = await started(world);
  for (const body of ["text", new Blob(["text"]).stream(), new Request(ORIGIN, { method: "POST", body: "text" }).body]) {
    world.expire();
    const response = await tab.fetch("/api/notes/", { method: "POST", body, duplex: "half" });
    assert.equal(response.status, 200);
    assert.deepEqual(world.requests.filter((r) => r.pathname === "/api/notes/").slice(-2).map((r) => r.body), ["text", "text"]);
  }
});

test("a token that is about to expire is refreshed before the request", async () => {
  const world = new World({ lifetime: 10 });
  const tab = await started(world);
  world.time += 9_000;
  assert.equal((await tab.fetch("/api/me/")).status, 200);
  assert.equal(world.count("refresh/"), 1);
  assert.equal(world.count("me/"), 1);
});

test("no other origin gets the token, and an Authorization of the caller's own is left alone", async () => {
  const world = new World();
  const tab = await started(world);
  await tab.fetch("https://other.example/api/me/");
  await tab.fetch("/api/me/", { headers: { Authorization: "Basic x" } });
  assert.deepEqual(world.requests.slice(-2).map((r) => r.authorization), [null, "Basic x"]);
  assert.equal(world.count("refresh/"), 0);
  const wide = await started(world, world.tab({ apiOrigins: ["https://api.example"] }));
  await wide.fetch("https://api.example/me/");
  await wide.fetch("/api/me/");
  assert.deepEqual(world.requests.slice(-2).map((r) => Boolean(r.authorization)), [true, false]);
});

test("a lost answer is asked for again by the same key, by whichever tab comes next, hours later", async () => {
  const world = new World();
  const tab = await started(world);
  world.expire();
  world.faults.push("lose");
  await assert.rejects(tab.fetch("/api/me/"), TypeError);
  assert.equal(tab.isAuthenticated, true);
  tab.destroy();
  world.time += 3 * 3600_000;
  const next = world.tab();
  assert.equal(await next.restore(), true);
  const keys = world.requests.filter((r) => r.pathname.endsWith("refresh/")).map((r) => r.key);
  assert.equal(keys.length, 2);
  assert.equal(keys[0], keys[1]);
  assert.match(keys[0], /^[!#-~]{8,255}$/);
  assert.equal(world.generation, 1);
});

test("a key serves all tabs for 30 seconds after its last use, then there is a new one", async () => {
  const world = new World();
  await started(world);
  const keys = [];
  for (const wait of [0, 29_000, 29_000, 31_000]) {
    world.time += wait;
    const tab = world.tab();
    world.tabs.clear(); // alone: nobody hands a token over
    await tab.restore();
    keys.push(world.requests.at(-1).key);
  }
  assert.deepEqual(keys.map((key) => keys.indexOf(key)), [0, 0, 0, 3]);
  assert.equal(world.generation, 2);
});

test("tabs that are restored at once share one refresh", async () => {
  const world = new World();
  (await started(world)).destroy();
  const tabs = Array.from({ length: 10 }, () => world.tab());
  assert.deepEqual(new Set(await Promise.all(tabs.map((tab) => tab.restore()))), new Set([true]));
  assert.equal(world.count("refresh/"), 1);
  assert.equal(world.generation, 1);
});

test("a visitor who never logged in causes no request, unless asked for", async () => {
  const world = new World();
  const tab = world.tab();
  assert.equal(await tab.restore(), false);
  await tab.fetch("/api/me/");
  assert.equal(world.count("refresh/"), 0);
  world.generation = 0; // a login by redirect has set the cookie
  assert.equal(await tab.restore({ force: true }), true);
  assert.equal(tab.claims.sub, "ä");
});

test("a network error, a 429 and a 5xx end nothing; Retry-After is obeyed", async () => {
  const world = new World();
  const tab = await started(world);
  const ends = [];
  tab.addEventListener("sessionended", (event) => ends.push(event));
  for (const fault of ["cut", world.answer(500, {}), world.answer(403, {}), world.answer(429, {}, { "Retry-After": "3600" })]) {
    world.expire();
    world.faults.push(fault);
    await assert.rejects(tab.fetch("/api/me/"), (error) => error instanceof AuthError || error instanceof TypeError);
    assert.equal(tab.isAuthenticated, true);
  }
  world.expire();
  world.faults.push(world.answer(503, {}, { "Retry-After": "2" }), world.answer(429, {}, { "Retry-After": "5" }));
  const before = world.time;
  assert.equal((await tab.fetch("/api/me/")).status, 200);
  assert.equal(world.time - before, 7_000);
  assert.equal(new Set(world.requests.filter((r) => r.pathname.endsWith("refresh/")).map((r) => r.key)).size, 1);
  assert.equal(ends.length, 0);
});

test("a 401 of refresh ends the session in all tabs, once, with its reason", async () => {
  const world = new World();
  const tab = await started(world);
  const other = world.tab();
  await other.restore();
  const ends = [];
  for (const each of [tab, other]) each.addEventListener("sessionended", (event) => ends.push(event.detail.reason));
  world.expire();
  world.generation = -1;
  const response = await tab.fetch("/api/me/");
  assert.equal(response.status, 401);
  assert.equal((await response.json()).reason, "expired");
  await tab.fetch("/api/me/");
  assert.deepEqual(ends, ["revoked", "revoked"]);
  assert.deepEqual([tab.isAuthenticated, other.isAuthenticated, tab.claims], [false, false, null]);
  assert.equal(world.count("refresh/"), 2); // the other tab's restore, and the one that was refused
});

test("logout and login reach all tabs; a logout without an answer rejects and ends nothing", async () => {
  const world = new World();
  const [tab, other] = [world.tab(), world.tab()];
  const seen = [];
  for (const type of ["sessionstarted", "sessionended"]) other.addEventListener(type, (event) => seen.push(event.type));
  await started(world, tab);
  await new Promise(setImmediate);
  assert.equal((await other.fetch("/api/me/")).status, 200);
  await tab.logout();
  await new Promise(setImmediate);
  assert.deepEqual(seen, ["sessionstarted", "sessionended"]);
  assert.deepEqual([tab.isAuthenticated, other.isAuthenticated], [false, false]);
  await started(world, tab);
  await tab.logoutAll();
  assert.equal(tab.isAuthenticated, false);
  await started(world, tab);
  world.serve = async () => { throw new TypeError("network"); };
  await assert.rejects(tab.logout(), TypeError);
  assert.equal(tab.isAuthenticated, true);
});

test("a refused login says why", async () => {
  const world = new World();
  const tab = world.tab();
  world.serve = async () => world.answer(400, { password: ["Required."] });
  await assert.rejects(tab.login({}), (error) => error.status === 400 && error.fields.password[0] === "Required.");
  world.serve = async () => world.answer(401, { detail: "No.", code: "no_active_account" });
  await assert.rejects(tab.login({}), (error) => error.code === "no_active_account" && error.message === "No.");
  assert.equal(tab.isAuthenticated, false);
});

for (const without of [{ locks: false }, { storage: false }]) {
  test(`without ${Object.keys(without)} no key is sent, and one tab still refreshes once`, async () => {
    const world = new World(without);
    const tab = await started(world);
    world.expire();
    await Promise.all([tab.fetch("/api/me/"), tab.fetch("/api/me/")]);
    assert.equal(world.count("refresh/"), 1);
    assert.equal(world.requests.find((r) => r.pathname.endsWith("refresh/")).key, null);
  });
}

test("what is stored holds no token", async () => {
  const world = new World();
  const tab = await started(world);
  world.expire();
  await tab.fetch("/api/me/");
  assert.ok(world.store.size > 0);
  for (const value of world.store.values()) assert.ok(![...world.valid].some((token) => value.includes(token)));
});
