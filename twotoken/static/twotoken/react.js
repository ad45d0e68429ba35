/**
 * The client's session as state of a React component.
 *
 * @module twotoken/react
 */
import { useSyncExternalStore } from "react";

/** @typedef {import("./client.js").Client} Client */
/** @typedef {import("./client.js").EndReason} EndReason */
/** @typedef {import("./react.js").Session} Session */

/** @type {Session} */
const UNKNOWN = { status: "unknown", claims: null, reason: null };

/** @type {WeakMap<Client, ReturnType<typeof createStore>>} One for each client, so that all components see the same. */
const stores = new WeakMap();

/**
 * Return the session, and render again when it changes.
 *
 * @param {Client} client
 * @returns {Session}
 */
export function useSession(client) {
  const store = stores.get(client) ?? createStore(client);
  stores.set(client, store);
  return useSyncExternalStore(store.subscribe, store.read, () => UNKNOWN); // a server that renders the page has no session
}

/** @param {Client} client */
function createStore(client) {
  const session = () => sessionOf(client, null);
  let current = session();
  /** @type {Set<() => void>} */
  const listeners = new Set();
  /** @param {Session} next */
  const set = (next) => {
    current = next;
    for (const listener of listeners) listener();
  };
  // These listeners stay even while no component listens, so that no reason for an end is missed.
  client.addEventListener("sessionstarted", () => set(session()));
  client.addEventListener("tokenchanged", () => set(session()));
  client.addEventListener("sessionended", ({ detail }) => set(sessionOf(client, detail.reason)));
  return {
    /** @param {() => void} listener */
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    read: () => current,
  };
}

/** @param {Client} client @param {EndReason | null} reason @returns {Session} */
function sessionOf(client, reason) {
  const { claims } = client;
  if (claims !== null) return { status: "authenticated", claims, reason: null };
  return client.isAuthenticated ? UNKNOWN : { status: "anonymous", claims: null, reason };
}
