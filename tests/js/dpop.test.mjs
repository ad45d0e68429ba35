// Sessions that are bound to a key of the browser (RFC 9449).
import assert from "node:assert/strict";
import { test } from "node:test";

import { BoundWorld } from "./bound.mjs";
import { ORIGIN, heard, settle, started } from "./world.mjs";

const NAME = `twotoken:${ORIGIN}/api/auth/`;
const schemes = (world) => world.requests.map(({ authorization }) => authorization?.split(" ")[0]);
const jwks = (world) => new Set(world.proofs.map(({ header }) => JSON.stringify(header.jwk)));

test("a login binds the session, and refreshes and API calls prove the key", async () => {
  const world = new BoundWorld();
  const tab = await started(world);
  assert.equal((await tab.fetch("/api/me/?page=2#top", { method: "PATCH", body: "x" })).status, 200);
  world.expire();
  assert.equal((await tab.fetch("/api/me/")).status, 200);
  await tab.logoutAll();
  assert.deepEqual(schemes(world), [undefined, "DPoP", "DPoP", undefined, "DPoP", "DPoP"]);
  const claims = world.proofs.map(({ claims }) => claims);
  assert.deepEqual(claims.map(({ htm, htu }) => `${htm} ${htu}`), [
    `POST ${ORIGIN}/api/auth/login/`, `PATCH ${ORIGIN}/api/me/`, `GET ${ORIGIN}/api/me/`,
    `POST ${ORIGIN}/api/auth/refresh/`, `GET ${ORIGIN}/api/me/`, `POST ${ORIGIN}/api/auth/logout/all/`,
  ]);
  assert.deepEqual(claims.map(({ ath }) => Boolean(ath)), [false, true, true, false, true, true]);
  assert.equal(jwks(world).size, 1);
});

test("the private key can't be read, and all tabs have the same one, which survives a reload", async () => {
  const world = new BoundWorld();
  const first = await started(world);
  first.destroy();
  const tabs = Array.from({ length: 5 }, () => world.tab());
  assert.deepEqual(new Set(await Promise.all(tabs.map((tab) => tab.restore()))), new Set([true]));
  for (const tab of tabs) assert.equal((await tab.fetch("/api/me/")).status, 200);
  assert.deepEqual([world.keys.size, jwks(world).size, world.count("refresh/")], [1, 1, 1]);
  const { privateKey } = world.keys.get(NAME);
  assert.equal(privateKey.extractable, false);
  await assert.rejects(crypto.subtle.exportKey("jwk", privateKey), /not extractable/);
  for (const value of world.store.values()) assert.ok(!value.includes("kty"));
});

test("where only the refresh token is bound, API calls are as ever", async () => {
  const world = new BoundWorld();
  world.bindsAccess = false;
  const tab = await started(world);
  world.expire();
  assert.equal((await tab.fetch("/api/me/")).status, 200);
  assert.deepEqual([schemes(world), world.proofs.length], [[undefined, "Bearer", undefined, "Bearer"], 2]);
});

test("a server that ignores proofs has sessions as ever", async () => {
  const world = new BoundWorld();
  world.accepts = false;
  const tab = await started(world);
  world.expire();
  world.faults.push("lose");
  assert.equal((await world.retried(tab.fetch("/api/me/"))).status, 200);
  assert.deepEqual([schemes(world).at(-1), world.generation, new Set(world.keysSent()).size], ["Bearer", 1, 1]);
});

test("a client without dpop sends no proof and makes no key", async () => {
  const world = new BoundWorld();
  const tab = await started(world, world.tab({ dpop: false }));
  world.expire();
  assert.equal((await tab.fetch("/api/me/")).status, 200);
  assert.deepEqual([world.proofs.length, world.keys.size], [0, 0]);
});

test("nonces of the server are asked for and renewed unseen, once each", async () => {
  const world = new BoundWorld();
  world.nonce = "first";
  const tab = await started(world);
  assert.equal(world.count("login/"), 2);
  assert.equal((await tab.fetch("/api/notes/", { method: "POST", body: "text" })).status, 200);
  assert.equal(world.count("notes/"), 1);
  world.nonce = "second";
  assert.equal((await tab.fetch("/api/notes/", { method: "POST", body: "text" })).status, 200);
  assert.deepEqual(world.requests.slice(-1).map(({ body }) => body), ["text"]);
  assert.equal(world.count("notes/"), 3);
  world.nonce = "third";
  world.expire();
  assert.equal((await tab.fetch("/api/me/")).status, 200);
  assert.deepEqual([world.count("refresh/"), new Set(world.keysSent()).size, world.generation], [1, 1, 1]);
  world.nonce = "fourth";
  world.time += 900_000;
  assert.equal(await tab.restore(), true);
  assert.deepEqual([world.count("refresh/"), world.generation], [3, 2]);
});

test("a redirect may lead elsewhere: that server changes no proof, asks nobody for a password, and causes no refresh", async () => {
  const world = new BoundWorld();
  const asked = [];
  const answers = ['DPoP error="use_dpop_nonce"', 'DPoP error="invalid_dpop_proof"', 'Bearer error="insufficient_user_authentication"'];
  const fetch = async (input, init) => {
    const request = new Request(input, init);
    if (!request.url.includes("/away/")) return world.serve(request);
    const headers = { "WWW-Authenticate": answers[asked.length], "DPoP-Nonce": "n".repeat(9000), Date: new Date(0).toUTCString() };
    asked.push(request.url);
    const answer = new Response("{}", { status: 401, headers });
    return Object.defineProperties(answer, { redirected: { value: true }, url: { value: "https://evil.example/" } });
  };
  const onStepUp = () => assert.fail("the page was asked");
  const tab = await started(world, world.tab({ onStepUp }, { fetch }));
  for (const number of answers.keys()) assert.equal((await tab.fetch(`/api/away/${number}/`)).status, 401);
  assert.deepEqual([asked.length, world.count("refresh/")], [3, 0]);
  assert.equal((await tab.fetch("/api/me/")).status, 200);
  assert.deepEqual([world.count("me/"), world.proofs.at(-1).claims.nonce], [1, undefined]);
});

test("a server that never takes the nonce is asked twice", async () => {
  const world = new BoundWorld();
  const tab = await started(world);
  world.problem = async () => "use_dpop_nonce";
  world.nonce = "never";
  const before = world.count("me/");
  assert.equal((await world.tab().restore().catch((error) => error.code)), "use_dpop_nonce");
  await assert.rejects(tab.fetch("/api/me/"), { code: "use_dpop_nonce" });
  assert.deepEqual([world.count("me/") - before, world.count("refresh/"), tab.isAuthenticated], [2, 4, true]);
});

const CAN_T = {
  "WebCrypto or IndexedDB": [{}, { deviceKeys: null }],
  "Web Locks": [{ locks: false }, {}],
  "localStorage": [{ storage: false }, {}],
  "a database that works": [{}, { deviceKeys: { get: () => Promise.reject(new Error("blocked")), set: () => Promise.reject(new Error("blocked")) } }],
};

for (const [what, [options, environment]] of Object.entries(CAN_T)) {
  test(`without ${what} the session is not bound, and where it has to be there is no login`, async () => {
    const world = new BoundWorld(options);
    const tab = await started(world, world.tab({}, environment));
    world.expire();
    assert.equal((await tab.fetch("/api/me/")).status, 200);
    assert.deepEqual([world.proofs.length, schemes(world).at(-1)], [0, "Bearer"]);
    const strict = world.tab({ dpop: "required" }, environment);
    await assert.rejects(strict.login({}), (error) => error.name === "NotSupportedError" && /required/.test(error.message));
    assert.equal(world.count("login/"), 1);
  });
}

test("outside a browser there is no key, and several origins with one cookie can't share one", async () => {
  const world = new BoundWorld();
  const tab = await started(world, world.tab({}, { deviceKeys: undefined })); // Node has no IndexedDB
  assert.deepEqual([world.proofs.length, tab.isAuthenticated], [0, true]);
  assert.throws(() => world.tab({ keys: false }), TypeError);
});

test("a page that lost its key is logged out as wrong_device, in all tabs, and a login makes a new one", async () => {
  const world = new BoundWorld();
  await started(world);
  world.keys.clear();
  const [page, other] = [world.tab(), world.tab()];
  const seen = [heard(page), heard(other)];
  assert.equal(await page.restore(), false);
  await settle();
  assert.deepEqual([seen[0], page.isAuthenticated, other.isAuthenticated], [["ended wrong_device"], false, false]);
  assert.deepEqual([await other.restore(), world.count("refresh/")], [false, 1]);
  await started(world, page);
  assert.equal((await other.fetch("/api/me/")).status, 200);
  assert.deepEqual([world.keys.size, jwks(world).size], [1, 2]);
});

test("a key that is deleted while the page is open is of use until it is reloaded", async () => {
  const world = new BoundWorld();
  const tab = await started(world);
  await tab.fetch("/api/me/");
  world.keys.clear();
  world.expire();
  assert.equal((await tab.fetch("/api/me/")).status, 200);
  world.time += 1;
  world.expire();
  assert.equal(await world.tab({}, { BroadcastChannel: undefined }).restore(), false);
});

test("a bound token without its key leads to the login, not to an error", async () => {
  const world = new BoundWorld();
  const tab = await started(world);
  world.keys.clear();
  const response = await tab.fetch("/api/me/"); // the key was not read before
  assert.deepEqual([response.status, tab.isAuthenticated], [401, false]);
});

test("a login has a new key, one while there is a session keeps the old one, for it may fail", async () => {
  const world = new BoundWorld();
  const [tab, other] = [world.tab(), world.tab()];
  await assert.rejects(tab.login({ password: "wrong" }), { code: "no_active_account" });
  await started(world, tab);
  await settle();
  await other.fetch("/api/me/");
  assert.equal(jwks(world).size, 2);
  await assert.rejects(tab.login({ password: "wrong" }), { code: "no_active_account" });
  world.expire();
  assert.equal((await tab.fetch("/api/me/")).status, 200);
  assert.equal(jwks(world).size, 2);
  await tab.logout();
  await started(world, tab);
  await settle();
  for (const each of [tab, other]) assert.equal((await each.fetch("/api/me/")).status, 200);
  world.expire();
  assert.equal((await other.fetch("/api/me/")).status, 200);
  assert.equal(jwks(world).size, 3);
});

test("a tab that missed another tab's login refreshes by that login's key", async () => {
  const world = new BoundWorld();
  const tab = await started(world, world.tab({}, { BroadcastChannel: undefined }));
  await tab.fetch("/api/me/");
  const other = world.tab({}, { BroadcastChannel: undefined });
  await other.logout();
  await started(world, other);
  const seen = heard(tab);
  world.expire();
  world.time += 900_000;
  await tab.restore();
  assert.deepEqual([seen, (await tab.fetch("/api/me/")).status], [["ended replaced", "started family 2"], 200]);
});

test("a clock that is ten minutes off is corrected by the server's", async () => {
  for (const lag of [600_000, -600_000]) {
    const world = new BoundWorld();
    world.lag = lag;
    const tab = await started(world);
    world.expire();
    assert.equal((await tab.fetch("/api/me/")).status, 200);
    assert.deepEqual([world.count("login/"), world.count("refresh/"), world.count("me/")], [2, 1, 2]);
    world.lag = 0; // somebody sets the clock
    assert.equal((await tab.fetch("/api/me/")).status, 200);
    assert.deepEqual([world.count("refresh/"), world.count("me/")], [1, 4]);
  }
  const world = new BoundWorld();
  [world.lag, world.showsDate] = [600_000, false];
  await assert.rejects(started(world), { status: 400, code: "invalid_dpop_proof" });
  assert.equal(world.count("login/"), 1);
});

test("lost answers are asked for again with new proofs", async () => {
  const world = new BoundWorld();
  const tab = await started(world);
  world.expire();
  world.lose("lose", 2);
  assert.equal((await world.retried(tab.fetch("/api/me/"))).status, 200);
  assert.deepEqual([world.count("refresh/"), world.generation], [3, 1]);
});

test("after a refresh that was given up no newer token is sent until its proof is a minute old", async () => {
  const world = new BoundWorld();
  const tab = await started(world, world.tab({ timeout: 5_000 }));
  world.faults.push(new Promise(() => {}));
  world.expire();
  const givenUp = assert.rejects(tab.fetch("/api/me/"), { name: "TimeoutError" });
  await world.refreshes(1);
  await world.pass(5_000);
  await givenUp;
  const lost = world.proofs.at(-1).claims;
  assert.equal((await tab.fetch("/api/me/")).status, 200); // the same token, at once
  world.expire();
  const next = tab.fetch("/api/me/"); // a newer one
  await world.pass(54_000);
  assert.equal(world.count("refresh/"), 2);
  await world.pass(2_000);
  assert.equal((await next).status, 200);
  assert.ok(world.proofs.find(({ claims }) => claims.iat >= lost.iat + 60));
  for (const wait of [0, 900_000, 29_000, 31_000]) {
    world.time += wait;
    world.expire();
    assert.equal((await tab.fetch("/api/me/")).status, 200);
  }
  const keys = world.keysSent();
  assert.deepEqual(keys.map((key) => keys.indexOf(key)), [0, 0, 0, 0, 4, 4, 6]);
});

test("the key of a refresh that was cut off is kept until an answer that comes a minute later", async () => {
  const world = new BoundWorld();
  const tab = await started(world);
  world.expire();
  world.lose("cut", 1);
  assert.equal((await world.retried(tab.fetch("/api/me/"))).status, 200);
  for (const wait of [31_000, 900_000, 29_000, 31_000]) {
    world.time += wait;
    world.expire();
    assert.equal((await tab.fetch("/api/me/")).status, 200);
  }
  // Also after fifteen minutes: if the lost request has rotated the token meanwhile, it did so by this key.
  const keys = world.keysSent();
  assert.deepEqual(keys.map((key) => keys.indexOf(key)), [0, 0, 0, 0, 0, 5]);
});

test("a step-up proves the key for the token that it steps up", async () => {
  const world = new BoundWorld();
  const tab = await started(world, world.tab({ onStepUp: () => ({ password: "right" }) }));
  assert.equal((await tab.fetch("/api/email/", { method: "PUT", body: "new" })).status, 200);
  assert.deepEqual(schemes(world).slice(1), ["DPoP", "DPoP", "DPoP"]);
  assert.equal(world.count("refresh/"), 0);
});
