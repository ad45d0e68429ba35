// The client's logic without a browser: what it promises.
import assert from "node:assert/strict";
import { test } from "node:test";

import { AuthError } from "../../twotoken/static/twotoken/client.js";
import { ORIGIN, TRIES, World, heard, settle, started } from "./world.mjs";

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
  world.lose();
  await assert.rejects(world.through(tab.fetch("/api/me/")), TypeError);
  assert.equal(tab.isAuthenticated, true);
  tab.destroy();
  world.time += 3 * 3600_000;
  const next = world.tab();
  assert.equal(await next.restore(), true);
  const keys = world.requests.filter((r) => r.pathname.endsWith("refresh/")).map((r) => r.key);
  assert.equal(keys.length, TRIES + 1);
  assert.equal(new Set(keys).size, 1);
  assert.match(keys[0], /^[!#-~]{8,255}$/);
  assert.equal(world.generation, 1);
});

test("a key serves all tabs for 30 seconds after its last use, then there is a new one", async () => {
  const world = new World();
  (await started(world)).destroy();
  const keys = [];
  for (const wait of [0, 29_000, 29_000, 31_000]) {
    world.time += wait;
    const tab = world.tab();
    await tab.restore();
    tab.destroy();
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
  world.family = "by redirect";
  assert.equal(await tab.restore({ force: true }), true);
  assert.equal(tab.claims.sub, "ä");
});

test("a network error, a 429 and a 5xx end nothing; Retry-After is obeyed", async () => {
  const world = new World();
  const tab = await started(world);
  const ends = [];
  tab.addEventListener("sessionended", (event) => ends.push(event));
  world.expire();
  for (const [fault, times] of [["cut", TRIES], [500, TRIES], [403, 1], [429, 1]]) {
    world.lose(fault === "cut" ? fault : () => world.answer(fault, {}, fault === 429 ? { "Retry-After": "3600" } : {}), times);
    await assert.rejects(world.through(tab.fetch("/api/me/")), (error) => error instanceof AuthError || error instanceof TypeError);
    assert.equal(tab.isAuthenticated, true);
  }
  await assert.rejects(tab.fetch("/api/me/"), (error) => error.status === 429);
  assert.equal(world.count("refresh/"), 2 * TRIES + 2); // the server said when it wants to be asked again
  await world.pass(3_600_000);
  world.expire();
  const before = world.count("refresh/");
  world.faults.push(world.answer(503, {}, { "Retry-After": "2" }), world.answer(429, {}, { "Retry-After": "5" }));
  const answer = tab.fetch("/api/me/");
  await world.pass(6_900);
  assert.equal(world.count("refresh/") - before, 2);
  await world.pass(200);
  assert.equal(world.count("refresh/") - before, 3);
  assert.equal((await answer).status, 200);
  assert.equal(new Set(world.keysSent().slice(before)).size, 1);
  assert.equal(ends.length, 0);
});

const BAD_GATEWAY = (world) => () => world.page(502);

for (const [name, fault] of [["is lost", () => "lose"], ["is cut off", () => "cut"], ["is a proxy's", BAD_GATEWAY]]) {
  test(`a refresh and a logout whose answer ${name} are repeated unseen, a login is not`, async () => {
    const world = new World();
    const tab = await started(world);
    world.expire();
    world.lose(fault(world), TRIES - 1);
    const [first, began] = [world.requests.length, world.time];
    const answers = await world.through(Promise.all([tab.fetch("/api/me/"), tab.fetch("/api/me/")]));
    assert.deepEqual(answers.map(({ status }) => status), [200, 200]);
    assert.deepEqual([world.keysSent().length, new Set(world.keysSent()).size, world.generation], [TRIES, 1, 1]);
    const times = world.requests.slice(first).filter(({ pathname }) => pathname.endsWith("refresh/")).map(({ at }) => at);
    const pauses = times.slice(1).map((at, number) => at - times[number]);
    for (const [number, pause] of pauses.entries()) assert.ok(pause > 250 * 2 ** number && pause < 510 * 2 ** number, pauses);
    assert.ok(world.time - began < 10_000);
    world.lose(fault(world), 2);
    await world.through(tab.logout());
    assert.deepEqual([world.count("logout/"), tab.isAuthenticated], [3, false]);
    world.lose(fault(world), 1);
    await assert.rejects(tab.login({}));
    assert.equal(world.count("login/"), 2);
  });
}

test("no retry starts later than ten seconds after the first loss, and none after a timeout", async () => {
  const world = new World();
  const tab = await started(world);
  world.expire();
  world.lose(() => { world.time += 6_000; throw new TypeError("network"); });
  await assert.rejects(world.through(tab.fetch("/api/me/")), TypeError);
  assert.equal(world.count("refresh/"), 3);
  world.faults = [new Promise(() => {})];
  const late = assert.rejects(tab.fetch("/api/me/"), { name: "TimeoutError" });
  await world.pass(31_000);
  await late;
  await world.pass(10_000);
  assert.equal(world.count("refresh/"), 4);
});

test("a browser that comes back online repeats a refresh at once", async () => {
  const world = new World();
  const tab = await started(world);
  world.expire();
  world.lose("cut", TRIES - 1);
  const answer = tab.fetch("/api/me/");
  for (let tries = 1; tries < TRIES; tries += 1) {
    await settle();
    assert.equal(world.count("refresh/"), tries);
    world.window.dispatchEvent(new Event("online"));
  }
  assert.equal((await answer).status, 200);
  assert.equal(world.time < 1_000_100, true);
});

test("a 401 of refresh ends the session in all tabs, once, with its reason", async () => {
  const world = new World();
  const tab = await started(world);
  const other = world.tab();
  await other.restore();
  const ends = [];
  for (const each of [tab, other]) each.addEventListener("sessionended", (event) => ends.push(event.detail.reason));
  world.expire();
  world.family = null;
  const response = await tab.fetch("/api/me/");
  assert.equal(response.status, 401);
  assert.equal((await response.json()).reason, "expired");
  await tab.fetch("/api/me/");
  assert.deepEqual(ends, ["missing", "missing"]);
  assert.deepEqual([tab.isAuthenticated, other.isAuthenticated, tab.claims], [false, false, null]);
  assert.equal(world.count("refresh/"), 2); // the other tab's restore, and the one that was refused
});

test("inside sessionended nobody is logged in, whether the message or the storage comes first", async () => {
  const world = new World();
  const [tab, other] = [await started(world), world.tab()];
  await other.restore();
  const store = new Map(world.store);
  const seen = [];
  for (const each of [tab, other]) {
    each.addEventListener("sessionended", () => {
      if (each === other) world.store = store; // what the other tab wrote has not arrived
      seen.push(each.isAuthenticated);
    });
  }
  await tab.logout();
  await settle();
  assert.deepEqual(seen, [false, false]);
  assert.deepEqual([other.isAuthenticated, await other.restore()], [false, false]);
});

test("each method works without its client", async () => {
  const world = new World();
  const { login, logout, logoutAll, restore, fetch, accessToken, destroy } = world.tab();
  await login({});
  assert.deepEqual([await restore(), (await fetch("/api/me/")).status, typeof (await accessToken())], [true, 200, "string"]);
  await logout();
  await logoutAll();
  destroy();
  await assert.rejects(login({}), /destroyed/);
});

test("a cookie that does not come back after a login is explained in the console", async (context) => {
  const world = new World();
  const { mock } = context.mock.method(console, "warn", () => {});
  const said = () => mock.calls.map((call) => call.arguments[0]);
  const lose = async (wait, tab = world.tab()) => {
    world.time += wait;
    world.family = null;
    world.expire();
    await tab.fetch("/api/me/");
    assert.equal(tab.isAuthenticated, false);
  };
  await started(world);
  await lose(60_000);
  assert.equal(said().length, 1);
  for (const word of ["COOKIE_SECURE", "COOKIE_PATH", "COOKIE_SAMESITE", "127.0.0.1"]) assert.match(said()[0], RegExp(word));
  await started(world);
  await lose(8 * 86_400_000); // that cookie may have expired
  const tab = await started(world);
  world.expire();
  await tab.fetch("/api/me/"); // this one has come back
  await lose(0, tab);
  await started(world);
  world.isUndecided = true; // and this one does
  await world.tab().restore();
  assert.equal(said().length, 1);
});

test("logout and login reach all tabs; a logout without an answer rejects and ends nothing", async () => {
  const world = new World();
  const [tab, other] = [world.tab(), world.tab()];
  const seen = [];
  for (const type of ["sessionstarted", "sessionended"]) other.addEventListener(type, (event) => seen.push(event.type));
  await started(world, tab);
  await settle();
  assert.equal((await other.fetch("/api/me/")).status, 200);
  await tab.logout();
  await settle();
  assert.deepEqual(seen, ["sessionstarted", "sessionended"]);
  assert.deepEqual([tab.isAuthenticated, other.isAuthenticated], [false, false]);
  await started(world, tab);
  await tab.logoutAll();
  assert.equal(tab.isAuthenticated, false);
  await started(world, tab);
  world.serve = async () => { throw new TypeError("network"); };
  await assert.rejects(world.through(tab.logout()), TypeError);
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

test("the access token itself is to be had, fresh, and by one refresh together with what else waits", async () => {
  const world = new World({ lifetime: 10 });
  const tab = world.tab();
  assert.equal(await tab.accessToken(), null);
  assert.equal(world.requests.length, 0);
  await started(world, tab);
  const first = await tab.accessToken();
  assert.deepEqual([world.valid.has(first), world.count("refresh/")], [true, 0]);
  world.time += 9_000;
  const [second, response] = await Promise.all([tab.accessToken(), tab.fetch("/api/me/")]);
  assert.deepEqual([response.status, world.requests.at(-1).authorization], [200, `Bearer ${second}`]);
  assert.deepEqual([second === first, world.count("refresh/")], [false, 1]);
  world.time += 9_000;
  world.lose("cut");
  await assert.rejects(world.through(tab.accessToken()), TypeError);
  await tab.logout();
  assert.equal(await tab.accessToken(), null);
});
