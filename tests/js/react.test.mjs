// The hook, rendered by React: what a component sees, and when.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createElement, StrictMode } from "react";
import { renderToString } from "react-dom/server";
import { act, create } from "react-test-renderer";
import { useSession } from "twotoken/react";

import { World, settle, started } from "./world.mjs";

globalThis.IS_REACT_ACT_ENVIRONMENT = true;
console.error = (text) => assert.match(text, /react-test-renderer is deprecated/); // and React has no other complaint

/** What a component has seen, each state once. */
async function mounted(client) {
  const seen = [];
  function Page() {
    const session = useSession(client);
    if (seen.at(-1) !== session) seen.push(session);
    return session.status;
  }
  let page;
  await act(() => (page = create(createElement(StrictMode, null, createElement(Page)))));
  return { seen, page, text: () => page.toJSON(), unmount: () => act(() => page.unmount()) };
}

test("a component sees a login, a new token and a logout, with the claims and the reason", async () => {
  const tab = new World().tab();
  const { seen, text } = await mounted(tab);
  assert.deepEqual(seen, [{ status: "anonymous", claims: null, reason: null }]);
  await act(() => started(null, tab));
  assert.equal(text(), "authenticated");
  assert.equal(seen.at(-1).claims.sid, "family 1");
  const { n } = seen.at(-1).claims;
  await act(() => tab.restore({ force: true }));
  assert.ok(seen.at(-1).claims.n > n);
  await act(() => tab.logout());
  assert.deepEqual(seen.at(-1), { status: "anonymous", claims: null, reason: "logout" });
  await act(() => started(null, tab));
  assert.equal(seen.at(-1).reason, null);
});

test("after a reload the session is unknown until the server has answered, whatever it says", async () => {
  const world = new World();
  (await started(world)).destroy();
  for (const [refusal, status, reason] of [[null, "authenticated", null], ["expired", "anonymous", "expired"]]) {
    const tab = world.tab();
    const { seen, text } = await mounted(tab);
    assert.equal(text(), "unknown");
    if (refusal) world.faults.push(world.refuse(refusal));
    await act(() => world.through(tab.restore()));
    assert.equal(text(), status);
    assert.deepEqual(seen.map((session) => session.status), ["unknown", status]);
    assert.equal(seen.at(-1).reason, reason);
    tab.destroy();
  }
});

test("without an answer the session stays unknown", async () => {
  const world = new World();
  (await started(world)).destroy();
  const tab = world.tab();
  const { text } = await mounted(tab);
  world.lose();
  await act(() => assert.rejects(world.through(tab.restore()), TypeError));
  assert.equal(text(), "unknown");
});

test("all tabs see a logout, one without a token too, and each once", async () => {
  const world = new World();
  const [first, second] = [world.tab(), world.tab()];
  await started(world, first);
  await settle();
  const third = world.tab(); // opened later, and has not restored
  const tabs = await Promise.all([first, second, third].map(mounted));
  assert.deepEqual(tabs.map(({ text }) => text()), ["authenticated", "authenticated", "unknown"]);
  const ends = [];
  for (const client of [first, second, third]) client.addEventListener("sessionended", () => ends.push(client));
  await act(async () => {
    await second.logout();
    await settle();
  });
  assert.deepEqual(tabs.map(({ seen }) => seen.at(-1).reason), ["logout", "logout", "logout"]);
  assert.equal(ends.length, 3);
});

test("components share what they see, and miss no reason while none is mounted", async () => {
  const world = new World();
  const tab = await started(world);
  const [one, two] = [await mounted(tab), await mounted(tab)];
  assert.equal(one.seen.at(-1), two.seen.at(-1));
  await one.unmount();
  await two.unmount();
  world.faults.push(world.refuse("revoked"));
  await tab.restore({ force: true });
  assert.equal((await mounted(tab)).seen[0].reason, "revoked");
  assert.equal(one.seen.length, 1);
});

test("a server that renders does not know, and the browser starts from there", async () => {
  const tab = await started(new World());
  const Page = () => useSession(tab).status;
  assert.equal(renderToString(createElement(Page)), "unknown");
});
