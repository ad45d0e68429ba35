import type { Claims, Client, EndReason } from "./client.js";

/**
 * - `unknown`: this browser has a session, but no access token yet. The status is this after a reload, until
 *   `client.restore()` has its answer, and always on a server that renders the page.
 * - `authenticated`: there is an access token. Its `claims` change with each refresh.
 * - `anonymous`: there is no session. `reason` says why the last one ended; null if none has since the page was loaded.
 */
export type Session =
  | { readonly status: "unknown"; readonly claims: null; readonly reason: null }
  | { readonly status: "authenticated"; readonly claims: Claims; readonly reason: null }
  | { readonly status: "anonymous"; readonly claims: null; readonly reason: EndReason | null };

/** Return the session, and render again when it changes. */
export declare function useSession(client: Client): Session;
