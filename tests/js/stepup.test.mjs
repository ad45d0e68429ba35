// Step-up: the API wants a more recent login, and the page asks the user.
import assert from "node:assert/strict";
import { test } from "node:test";

import { AuthError } from "../../twotoken/static/twotoken/client.js";
import { World, heard, settle, started } from "./world.mjs";

const EMAIL = "/api/email/";

/** A tab that is logged in, and what it asked: a password for each time, null for "cancelled", or a function. */
async function asking(world, ...answers) {
  const asked = [];
  const onStepUp = (demand) => {
    asked.push(demand);
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    return typeof answer === "function" ? answer() : answer && { password: answer };
  };
  const tab = await started(world, world.tab({ onStepUp }));
  return { tab, asked };
}

test("many requests ask once, each is sent once more, and all tabs get the token without a refresh", async () => {
  const world = new World();
  const { tab, asked } = await asking(world, "right");
  const other = world.tab();
  await other.restore();
  const seen = [heard(tab), heard(other)];
  const refreshes = world.count("refresh/");
  const responses = await Promise.all(Array.from({ length: 30 }, () => tab.fetch(EMAIL, { method: "PUT", body: "new" })));
  assert.deepEqual(new Set(responses.map(({ status }) => status)), new Set([200]));
  assert.deepEqual(asked, [{ maxAge: 300, error: undefined }]);
  assert.deepEqual([world.count("reauthenticate/"), world.count("email/"), world.count("refresh/")], [1, 60, refreshes]);
  assert.deepEqual(new Set(world.requests.filter((r) => r.pathname === EMAIL).map(({ body }) => body)), new Set(["new"]));
  assert.equal((await tab.fetch(EMAIL)).status, 200);
  await settle();
  assert.equal((await other.fetch(EMAIL)).status, 200);
  assert.deepEqual([asked.length, world.count("refresh/"), seen], [1, refreshes, [[], []]]);
});

for (const answers of [[null], [], [undefined]]) {
  test(`where nobody answers (${answers}) the caller gets the 401, and nothing is refreshed or ended`, async () => {
    const world = new World();
    const { tab, asked } = await asking(world, ...answers);
    for (let times = 1; times < 3; times += 1) {
      const responses = await Promise.all([tab.fetch(EMAIL), tab.fetch(EMAIL)]);
      for (const response of responses) {
        assert.deepEqual([response.status, (await response.json()).max_age], [401, 300]);
      }
      assert.equal(asked.length, times);
    }
    assert.deepEqual([world.count("refresh/"), world.count("reauthenticate/"), tab.isAuthenticated], [0, 0, true]);
  });
}

test("a request whose 401 comes after the user has cancelled does not ask again", async () => {
  const world = new World();
  const asked = [];
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const fetch = async (input, init) => {
    const response = await world.serve(new Request(input, init));
    if (new URL(input.url ?? input, "https://app.example.com").search === "?late") await held;
    return response;
  };
  const tab = await started(world, world.tab({ onStepUp: (demand) => (asked.push(demand), null) }, { fetch }));
  const late = tab.fetch(`${EMAIL}?late`);
  assert.equal((await tab.fetch(EMAIL)).status, 401);
  release();
  assert.equal((await late).status, 401);
  assert.equal(asked.length, 1);
  assert.equal((await tab.fetch(EMAIL)).status, 401);
  assert.equal(asked.length, 2);
});

test("a client that can't ask gives the 401 to the caller, and takes another tab's step-up", async () => {
  const world = new World();
  const { tab } = await asking(world, "right");
  const other = world.tab();
  await other.restore();
  const refreshes = world.count("refresh/");
  assert.equal((await other.fetch(EMAIL)).status, 401);
  assert.equal((await tab.fetch(EMAIL)).status, 200);
  await settle();
  assert.equal((await other.fetch(EMAIL)).status, 200);
  assert.equal(world.count("refresh/"), refreshes);
});

test("a wrong password is asked for again with the reason, three times in all, and other errors at once", async () => {
  const world = new World();
  const { tab, asked } = await asking(world, "wrong", "right");
  assert.equal((await tab.fetch(EMAIL)).status, 200);
  assert.deepEqual(asked.map(({ error }) => error?.code), [undefined, "no_active_account"]);
  const wrong = await asking(world, "wrong");
  await assert.rejects(wrong.tab.fetch(EMAIL), (error) => error instanceof AuthError && error.code === "no_active_account");
  assert.equal(wrong.asked.length, 3);
  const busy = await asking(world, "right");
  for (const fault of [world.answer(429, {}, { "Retry-After": "9" }), world.answer(500, {}), "cut"]) {
    world.faults.push(fault);
    await assert.rejects(busy.tab.fetch(EMAIL));
  }
  assert.deepEqual([busy.asked.length, busy.tab.isAuthenticated, world.count("refresh/")], [3, true, 0]);
  const broken = await asking(world, () => { throw new Error("the dialog broke"); });
  await assert.rejects(broken.tab.fetch(EMAIL), /the dialog broke/);
  assert.equal((await broken.tab.fetch("/api/me/")).status, 200);
});

test("a page that can't read the challenge goes by the body, and the caller can still read it", async () => {
  const world = new World();
  world.showsChallenge = false;
  const { tab, asked } = await asking(world, "right");
  assert.equal((await tab.fetch(EMAIL)).status, 200);
  assert.equal(asked[0].maxAge, 300);
  const mute = await started(world);
  const response = await mute.fetch(EMAIL);
  assert.equal((await response.json()).code, "insufficient_user_authentication");
  assert.equal(world.count("refresh/"), 0);
});

test("a token that has expired, before the request or while the dialog was open, is refreshed first", async () => {
  const world = new World();
  const { tab, asked } = await asking(world, () => {
    world.time += 900_000;
    world.expire();
    return { password: "right" };
  });
  world.expire();
  assert.equal((await tab.fetch(EMAIL, { method: "PUT", body: "new" })).status, 200);
  const sent = world.requests.filter(({ pathname }) => pathname === EMAIL);
  assert.deepEqual(sent.map(({ body }) => body), ["new", "new", "new"]);
  assert.deepEqual([asked.length, world.count("refresh/"), world.count("reauthenticate/")], [1, 2, 1]);
});

test("a token that is refused after a step-up is asked for again, once", async () => {
  const world = new World();
  const { tab, asked } = await asking(world, "right");
  const pair = world.pair.bind(world);
  let refused = 1; // as if a refresh in another tab came between
  world.pair = (isStepped) => pair(isStepped && refused-- <= 0);
  assert.equal((await tab.fetch(EMAIL)).status, 200);
  assert.deepEqual([asked.length, world.count("reauthenticate/")], [2, 2]);
  world.stepped.clear();
  refused = Infinity; // the server never finds it recent enough
  assert.equal((await tab.fetch(EMAIL)).status, 401);
  assert.deepEqual([asked.length, world.count("refresh/")], [4, 0]);
});

test("a refresh elsewhere replaces a stepped-up token, and the next request asks again", async () => {
  const world = new World();
  const { tab, asked } = await asking(world, "right");
  const other = world.tab();
  await other.restore();
  assert.equal((await tab.fetch(EMAIL)).status, 200);
  await settle();
  world.time += 900_000;
  assert.equal((await other.fetch("/api/me/")).status, 200);
  await settle();
  assert.equal((await tab.fetch(EMAIL)).status, 200);
  assert.equal(asked.length, 2);
});

test("a session that ends, or becomes another user's, while the dialog is open is not stepped up", async () => {
  for (const change of [(other) => other.logout(), (other) => other.login({})]) {
    const world = new World();
    const other = world.tab();
    const { tab } = await asking(world, async () => {
      await change(other);
      await settle();
      return { password: "right" };
    });
    assert.equal((await tab.fetch(EMAIL)).status, 401);
    assert.equal(world.count("reauthenticate/"), 0);
  }
});

test("a family that is revoked meanwhile ends the session, with its reason", async () => {
  const world = new World();
  const { tab } = await asking(world, () => {
    world.expire();
    world.family = null;
    return { password: "right" };
  });
  const seen = heard(tab);
  assert.equal((await tab.fetch(EMAIL)).status, 401);
  assert.deepEqual([seen, world.count("reauthenticate/"), world.count("refresh/")], [["ended missing"], 1, 1]);
});

test("the caller's AbortSignal ends its call, and the others wait for the dialog", async () => {
  const world = new World();
  let answer;
  const { tab } = await asking(world, () => new Promise((resolve) => (answer = resolve)));
  const abort = new AbortController();
  const [one, two] = [tab.fetch(EMAIL, { signal: abort.signal }), tab.fetch(EMAIL)];
  await settle();
  abort.abort(new Error("enough"));
  await assert.rejects(one, /enough/);
  answer({ password: "right" });
  assert.equal((await two).status, 200);
});
