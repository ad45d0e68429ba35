// The client's logic without a browser: where it could go wrong.
import assert from "node:assert/strict";
import { test } from "node:test";

import { AuthError, createClient } from "../../twotoken/static/twotoken/client.js";
import { ORIGIN, TRIES, World, heard, settle, started } from "./world.mjs";

const DAY = 86_400_000;

/** A promise and what settles it. */
function gate() {
  let open;
  const promise = new Promise((resolve) => (open = resolve));
  return { promise, open };
}

test("a token that lives longer than a timer can wait is refreshed in its time, and not at once", async () => {
  const world = new World({ lifetime: (40 * DAY) / 1000 });
  await started(world);
  await world.pass(27 * DAY);
  assert.equal(world.count("refresh/"), 0);
  await world.pass(6 * DAY);
  assert.equal(world.count("refresh/"), 1);
});

test("close to the session's end, where tokens live for no time at all, a page asks once a second", async () => {
  for (const lifetime of [0, 0.01]) {
    const world = new World({ lifetime });
    await started(world);
    await world.pass(5_500);
    assert.equal(world.count("refresh/"), 5);
  }
});

test("a page that is hidden does not refresh by itself", async () => {
  const world = new World({ lifetime: 10 });
  const document = { visibilityState: "hidden" };
  const tab = await started(world, world.tab({}, { document }));
  await world.pass(60_000);
  assert.equal(world.count("refresh/"), 0);
  assert.equal((await tab.fetch("/api/me/")).status, 200);
  document.visibilityState = "visible";
  await world.pass(9_000);
  assert.equal(world.count("refresh/"), 2);
});

test("without Web Locks login, refresh and logout still take turns within a tab", async () => {
  const world = new World({ locks: false });
  const tab = await started(world);
  const late = gate();
  world.faults.push(late.promise);
  world.expire();
  const answer = tab.fetch("/api/me/");
  await settle();
  const logout = tab.logout();
  await settle();
  assert.equal(world.count("logout/"), 0);
  late.open();
  await logout;
  assert.equal((await answer).status, 200);
  assert.deepEqual(world.requests.slice(-2).map(({ pathname }) => pathname).sort(), ["/api/auth/logout/", "/api/me/"]);
  assert.equal(tab.isAuthenticated, false);
});

test("a client that is destroyed while it refreshes takes nothing and tells nothing", async () => {
  const world = new World();
  const tab = await started(world);
  const seen = heard(tab);
  const late = gate();
  world.faults.push(late.promise);
  world.expire();
  const answer = tab.fetch("/api/me/");
  await settle();
  tab.destroy();
  late.open();
  await assert.rejects(answer, /destroyed/);
  await assert.rejects(tab.login({}), /destroyed/);
  assert.deepEqual([seen, tab.claims, world.timers.length], [[], null, 0]);
  world.time += 1;
  assert.equal(await world.tab().restore(), true); // the session stays
  assert.equal(new Set(world.keysSent()).size, 1);
});

test("a client that is destroyed between two tries asks no more", async () => {
  const world = new World();
  const tab = await started(world);
  world.lose("cut");
  world.expire();
  const answer = tab.fetch("/api/me/");
  await settle();
  tab.destroy();
  await assert.rejects(answer, /destroyed/);
  assert.deepEqual([world.count("refresh/"), world.timers.length], [1, 0]);
  world.window.dispatchEvent(new Event("online"));
});

test("a session that another tab ends or refreshes between two tries is not asked for again", async () => {
  for (const ends of [true, false]) {
    const world = new World();
    const [tab, other] = [await started(world), world.tab()];
    await other.restore();
    const before = world.count("refresh/");
    world.expire();
    world.lose("cut", 1);
    const answer = tab.fetch("/api/me/");
    await settle();
    if (ends) await other.logout();
    else assert.equal((await other.fetch("/api/me/")).status, 200);
    assert.equal((await world.through(answer)).status, ends ? 401 : 200);
    assert.equal(world.count("refresh/") - before, ends ? 1 : 2);
  }
});

test("a tab that waits for its turn while another logs out does not refresh", async () => {
  const world = new World();
  const [tab, other] = [await started(world), world.tab()];
  await other.restore();
  const seen = heard(other);
  const before = world.count("refresh/");
  for (const channel of world.tabs) channel.onmessage = null; // the news comes late
  const late = gate();
  world.faults.push(late.promise);
  const logout = tab.logout();
  await settle();
  world.expire();
  const answer = other.fetch("/api/me/");
  await settle();
  late.open();
  await logout;
  assert.equal((await answer).status, 401);
  assert.equal(world.count("refresh/"), before);
  assert.deepEqual(seen, ["ended logout"]);
  assert.deepEqual([other.isAuthenticated, other.claims], [false, null]);
});

test("without Web Locks a refresh that is answered after a logout elsewhere revives nothing", async () => {
  const world = new World({ locks: false });
  const [tab, other] = [await started(world), world.tab()];
  await other.restore();
  const late = gate();
  world.faults.push(late.promise);
  world.expire();
  const answer = other.fetch("/api/me/");
  await settle();
  await tab.logout();
  await settle();
  late.open();
  assert.equal((await answer).status, 401);
  await settle();
  assert.deepEqual([tab, other].map((each) => [each.isAuthenticated, each.claims]), [[false, null], [false, null]]);
});

test("without Web Locks a refresh that found no cookie does not end the login that was faster", async () => {
  const world = new World({ locks: false });
  const [tab, other] = [world.tab(), world.tab()];
  const late = gate();
  world.faults.push(late.promise);
  const restored = other.restore({ force: true });
  await settle();
  await started(world, tab);
  await settle();
  const seen = heard(other);
  late.open();
  assert.equal(await restored, true);
  assert.deepEqual([seen, other.claims.sid, tab.isAuthenticated], [[], "family 1", true]);
});

test("another user's login elsewhere: the old session ends, then the new one starts, and its token is used", async () => {
  const world = new World();
  const [tab, other] = [await started(world), world.tab()];
  await other.restore();
  const seen = heard(other);
  await tab.logout();
  await started(world, tab);
  await settle();
  assert.deepEqual(seen, ["ended logout", "started family 2"]);
  await other.fetch("/api/me/");
  assert.equal(JSON.parse(atob(world.requests.at(-1).authorization.split(".")[1])).sid, "family 2");
  await started(world, tab); // without a logout
  await settle();
  assert.deepEqual(seen.slice(2), ["ended replaced", "started family 3"]);
});

test("a request is never sent as somebody who logged in after it was begun", async () => {
  const world = new World();
  const [tab, other] = [await started(world), world.tab()];
  await other.restore();
  const late = gate();
  world.faults.push(late.promise);
  const login = started(world, tab);
  await settle();
  world.expire();
  const answer = other.fetch("/api/orders/", { method: "POST", body: "ann's" });
  await settle();
  late.open();
  await login;
  assert.equal((await answer).status, 401);
  assert.deepEqual(world.requests.filter(({ body }) => body === "ann's").length, 1);
  assert.equal((await other.fetch("/api/orders/")).status, 200);
});

test("a token that was handed round late does not revive a session that has ended", async () => {
  const world = new World();
  const [tab, other] = [await started(world), world.tab()];
  await other.restore();
  const sent = [];
  const spy = { onmessage: ({ data }) => sent.push(data) };
  world.tabs.add(spy);
  await started(world, tab);
  await settle();
  const token = sent.find(({ type }) => type === "token");
  await tab.logout();
  await settle();
  for (const channel of world.tabs) if (channel !== spy) channel.onmessage({ data: token });
  assert.deepEqual([tab.isAuthenticated, other.isAuthenticated], [false, false]);
});

test("a forced restore asks even where there is a token, and takes the session that it finds", async () => {
  const world = new World();
  const tab = await started(world);
  const seen = heard(tab);
  world.family = "by redirect";
  assert.equal(await tab.restore(), true);
  assert.deepEqual(seen, []);
  assert.equal(await tab.restore({ force: true }), true);
  assert.deepEqual(seen, ["ended replaced", "started by redirect"]);
  const visitor = new World().tab();
  assert.equal(await visitor.restore({ force: true }), false);
});

test("a proxy's page is no logout and no login, whatever its status, and the error says what came", async () => {
  for (const status of [200, 401, 404, 502]) {
    const world = new World();
    const tab = await started(world);
    const seen = heard(tab);
    const isUnclear = (error) =>
      error instanceof AuthError && error.status === status && error.message === `The answer was ${status}, without JSON.`;
    world.expire();
    const tries = status === 502 ? TRIES : 1;
    world.lose(() => world.page(status), 2 * tries + 1);
    await assert.rejects(world.through(tab.fetch("/api/me/")), isUnclear);
    await assert.rejects(world.through(tab.logout()), isUnclear);
    await assert.rejects(world.tab().login({}), isUnclear);
    assert.deepEqual([seen, tab.isAuthenticated], [[], true]);
    assert.equal((await tab.fetch("/api/me/")).status, 200);
    assert.equal(new Set(world.keysSent()).size, 1);
    world.faults.push(world.page(status));
    if (status !== 401) await assert.rejects(tab.logoutAll(), (error) => error.status === status);
    assert.equal(tab.isAuthenticated, true);
  }
});

test("logging out everywhere with a token that is refused by then is a logout too", async () => {
  const world = new World();
  const tab = await started(world);
  const seen = heard(tab);
  world.faults.push(world.refuse("revoked"), world.refuse("revoked"));
  await tab.logoutAll();
  assert.deepEqual(seen, ["ended revoked"]);
});

test("a clock that is put back does not make a busy server busy for longer", async () => {
  const world = new World();
  const tab = await started(world);
  world.expire();
  world.faults.push(world.answer(503, {}, { "Retry-After": "60" }));
  await assert.rejects(tab.fetch("/api/me/"), { status: 503 });
  await assert.rejects(tab.fetch("/api/me/"), { status: 503 });
  assert.equal(world.count("refresh/"), 1);
  world.time -= 3_600_000;
  assert.equal((await tab.fetch("/api/me/")).status, 200);
});

test("an answer that takes too long is none: the lock is free again, and the key stays", async () => {
  const world = new World();
  const tab = await started(world, world.tab({ timeout: 5_000 }));
  world.expire();
  world.faults.push(new Promise(() => {}));
  const answer = assert.rejects(tab.fetch("/api/me/"), { name: "TimeoutError" });
  await world.pass(5_100);
  await answer;
  assert.equal((await world.tab().restore()) && tab.isAuthenticated, true);
  assert.equal(world.keysSent().length, 2);
  assert.equal(new Set(world.keysSent()).size, 1);
  assert.equal(world.generation, 1);
});

test("the caller's AbortSignal ends a call that waits for a refresh, and nobody else's", async () => {
  const world = new World();
  const tab = await started(world);
  const late = gate();
  world.faults.push(late.promise);
  world.expire();
  const abort = new AbortController();
  const [one, two] = [tab.fetch("/api/me/", { signal: abort.signal }), tab.fetch("/api/me/")];
  await settle();
  abort.abort(new Error("enough"));
  await assert.rejects(one, /enough/);
  late.open();
  assert.equal((await two).status, 200);
  await assert.rejects(tab.fetch(new Request(`${ORIGIN}/api/me/`, { signal: abort.signal })), /enough/);
});

test("a Request and a URL are taken as fetch takes them", async () => {
  const world = new World();
  const tab = await started(world);
  world.expire();
  const request = new Request(`${ORIGIN}/api/notes/`, { method: "PUT", body: "text", headers: { "X-One": "1" } });
  assert.equal((await tab.fetch(request, { headers: { "X-Two": "2" } })).status, 200);
  assert.equal((await tab.fetch(new URL(`${ORIGIN}/api/notes/`))).status, 200);
  const sent = world.requests.filter(({ pathname }) => pathname === "/api/notes/");
  assert.deepEqual(sent.map(({ body }) => body), ["text", "text", ""]);
  assert.equal(request.bodyUsed, true);
});

test("a client that is to send no keys sends none and stores none, and its tabs still refresh one at a time", async () => {
  const world = new World();
  const [tab, other] = [await started(world, world.tab({ keys: false })), world.tab({ keys: false })];
  await other.restore();
  world.expire();
  const before = world.count("refresh/");
  const late = gate();
  world.faults.push(late.promise);
  const answers = [tab.fetch("/api/me/"), other.fetch("/api/me/")];
  await settle();
  assert.equal(world.count("refresh/"), before + 1);
  late.open();
  assert.deepEqual((await Promise.all(answers)).map(({ status }) => status), [200, 200]);
  assert.deepEqual([world.count("refresh/"), world.keysSent().filter((key) => key !== null)], [before + 1, []]);
  world.faults.push("lose");
  world.expire();
  assert.equal((await world.through(tab.fetch("/api/me/"))).status, 200);
  assert.deepEqual(new Set(world.keysSent()), new Set([null]));
  assert.deepEqual([...world.store.keys()], ["twotoken:https://app.example/api/auth/:session"]);
});

test("storage that is full costs the key and not the session", async () => {
  const world = new World();
  world.isFull = true;
  const tab = await started(world);
  world.expire();
  assert.equal((await tab.fetch("/api/me/")).status, 200);
  assert.deepEqual([world.keysSent(), tab.isAuthenticated], [[null], true]);
  await tab.logout();
  assert.deepEqual([tab.isAuthenticated, world.store.size], [false, 0]);
  world.isFull = false;
  const next = await started(world);
  world.lose();
  world.expire();
  await assert.rejects(world.through(next.fetch("/api/me/")), TypeError);
  world.isFull = true; // a key that is written down already is used all the same
  assert.equal((await next.fetch("/api/me/")).status, 200);
  assert.equal(world.keysSent().at(-1), world.keysSent().at(-2));
});

test("storage that somebody else has cleared signs nobody out", async () => {
  const world = new World();
  const tab = await started(world);
  world.store.clear();
  world.expire();
  assert.equal((await tab.fetch("/api/me/")).status, 200);
  assert.equal(await world.tab().restore(), true);
  world.store.set("twotoken:https://app.example/api/auth/:key", "{ not ours");
  world.expire();
  assert.equal((await tab.fetch("/api/me/")).status, 200);
});

const NO_KEYS = [
  { value: "short" }, { value: "short", used: 1, answered: false }, { value: "a".repeat(256), used: 1, answered: false },
  { value: 'a quote " in it', used: 1, answered: false }, { value: "x\ny".repeat(9), used: 1, answered: false },
  { value: 12345678, used: 1, answered: false }, { value: "no-time-of-use", answered: false },
  { value: "no-time-of-use", used: "1", answered: false }, { value: "not-answered", used: 1 },
  { used: 1, answered: false }, {}, [], null, 7, "a-key-as-a-string", true,
];

test("a stored key that is none is given up, and the refresh gets a new one", async () => {
  for (const stored of [...NO_KEYS.map((value) => JSON.stringify(value)), "no JSON", ""]) {
    const world = new World();
    await started(world);
    world.store.set(`twotoken:${ORIGIN}/api/auth/:key`, stored);
    assert.equal(await world.tab().restore(), true, stored);
    assert.match(world.keysSent()[0], /^[0-9a-f]{32}$/);
  }
});

test("a stored session that is none is none: no request, and a login writes it anew", async () => {
  for (const stored of [{}, { reason: null }, { sid: 7, reason: null }, { sid: "x" }, { sid: "x", reason: 1 }, null, 7, []]) {
    const world = new World();
    world.store.set(`twotoken:${ORIGIN}/api/auth/:session`, JSON.stringify(stored));
    const tab = world.tab();
    assert.deepEqual([tab.isAuthenticated, await tab.restore(), world.count("refresh/")], [false, false, 0]);
    await started(world, tab);
    assert.equal(await world.tab().restore(), true);
  }
});

test("a refresh that brings another session ends the one there is, and its token is not used", async () => {
  for (const options of [{}, { locks: false }, { storage: false }]) {
    const world = new World(options);
    const [tab, other] = [await started(world), world.tab()];
    await other.restore({ force: true });
    const seen = [heard(tab), heard(other)];
    world.family = "somebody else's";
    world.expire();
    assert.equal((await tab.fetch("/api/me/")).status, 401);
    await settle();
    assert.deepEqual(seen, [["ended replaced"], ["ended replaced"]]);
    assert.deepEqual([tab.isAuthenticated, tab.claims, await tab.accessToken()], [false, null, null]);
    const asked = world.count("refresh/");
    for (const each of [tab, other, world.tab()]) assert.equal(await each.restore(), false);
    assert.equal((await other.fetch("/api/me/")).status, 401);
    assert.equal(world.count("refresh/"), asked);
  }
});

test("a page that is loaded again does not become somebody else's", async () => {
  const world = new World();
  await started(world);
  world.family = "somebody else's";
  const page = world.tab();
  const seen = heard(page);
  assert.deepEqual([await page.restore(), page.claims, seen], [false, null, ["ended replaced"]]);
  assert.deepEqual([await world.tab().restore(), world.count("refresh/")], [false, 1]);
  await started(world, page);
  assert.deepEqual(seen.slice(1), ["started family 2"]);
});

test("without a channel the session that another tab has logged in to is the one to refresh", async () => {
  const world = new World();
  const tab = await started(world, world.tab({}, { BroadcastChannel: undefined }));
  await started(world, world.tab({}, { BroadcastChannel: undefined }));
  const seen = heard(tab);
  world.expire();
  await tab.restore();
  assert.equal(await tab.accessToken() !== null, true);
  await world.pass(900_000);
  assert.equal((await tab.fetch("/api/me/")).status, 200);
  assert.deepEqual(seen, ["ended replaced", "started family 2"]);
});

test("without Web Locks a late answer of the session before does not take the place of a faster login", async () => {
  const world = new World({ locks: false });
  await started(world);
  const [tab, other] = [world.tab(), world.tab()];
  const late = gate();
  world.faults.push(late.promise);
  const restored = other.restore();
  await settle();
  await started(world, tab);
  await settle();
  const seen = heard(other);
  late.open();
  assert.equal(await restored, true);
  await settle();
  assert.deepEqual([seen, other.claims.sid, tab.claims.sid], [[], "family 2", "family 2"]);
});

test("after a refusal as invalid the session is over, in all tabs, and nobody asks again", async () => {
  const world = new World();
  const [tab, other] = [await started(world), world.tab()];
  await other.restore();
  const seen = heard(other);
  world.isUndecided = true;
  world.expire();
  assert.equal((await tab.fetch("/api/me/")).status, 401);
  await settle();
  assert.deepEqual(seen, ["ended invalid"]);
  const asked = world.count("refresh/");
  for (const each of [tab, other, world.tab()]) assert.equal(await each.restore(), false);
  assert.equal(await other.accessToken(), null);
  await world.pass(DAY);
  assert.equal(world.count("refresh/"), asked);
});

test("without storage a logout elsewhere counts all the same", async () => {
  const world = new World({ storage: false });
  const [tab, other] = [world.tab(), world.tab()];
  await started(world, tab);
  await settle();
  assert.equal(other.isAuthenticated, true);
  await tab.logout();
  await settle();
  assert.equal(other.isAuthenticated, false);
  await other.fetch("/api/me/");
  assert.equal(world.count("refresh/"), 0);
});

test("outside a browser, with nothing but fetch, an absolute URL will do", async () => {
  const client = createClient({ authUrl: `${ORIGIN}/api/auth` }, { storage: null, locks: undefined });
  assert.deepEqual([client.isAuthenticated, client.claims, await client.restore()], [false, null, false]);
  client.destroy();
});
