/** What a client needs to know. */
export interface ClientOptions {
  /** Where `twotoken.urls` is mounted, such as "/api/auth/". */
  authUrl: string;
  /** Origins whose requests carry the access token. Default: the page's own and that of `authUrl`. */
  apiOrigins?: string[];
  /** Milliseconds to wait for an answer to login, refresh and logout. Default: 30 000. */
  timeout?: number;
  /** Whether refreshes send an Idempotency-Key. false where pages of several origins share one cookie. Default: true. */
  keys?: boolean;
}

/** The browser's facilities, to be watched by a page or replaced in tests. */
export interface Environment {
  fetch?: typeof fetch;
  locks?: Pick<LockManager, "request">;
  /** Default: localStorage. null: none. */
  storage?: Pick<Storage, "getItem" | "setItem" | "removeItem"> | null;
  BroadcastChannel?: typeof BroadcastChannel;
  location?: { readonly href: string; readonly origin: string };
  document?: { readonly visibilityState: string };
  now?: () => number;
  setTimeout?: (callback: () => void, milliseconds: number) => any;
  clearTimeout?: (timer: any) => void;
}

/** `logout` and `replaced` (the cookie is of another session) are the browser's own, the others the server's. */
export type EndReason =
  | "logout" | "replaced"
  | "missing" | "invalid" | "expired" | "revoked" | "reused" | "password_changed" | "user_inactive";

/** What an access token says. */
export interface Claims {
  sub: string;
  sid: string;
  jti: string;
  iat: number;
  exp: number;
  [name: string]: unknown;
}

export interface ClientEventMap {
  /** This tab has a session that it did not have: by login, restore, or another tab. */
  sessionstarted: CustomEvent<{ claims: Claims }>;
  sessionended: CustomEvent<{ reason: EndReason }>;
  /** There is another access token, for so many seconds. */
  tokenchanged: CustomEvent<{ expiresIn: number }>;
}

/** An answer that is not the one hoped for. Network errors stay the TypeErrors that fetch makes of them. */
export declare class AuthError extends Error {
  readonly status: number;
  readonly code: string;
  readonly reason: string;
  /** What is wrong with each field, where the status is 400. */
  readonly fields: Record<string, string[]> | null;
  /** Seconds. */
  readonly retryAfter: number;
}

export interface Client extends EventTarget {
  /** Whether there is a session: a token in this tab, or a marker that one can be had. */
  readonly isAuthenticated: boolean;
  /** What the access token says, or null. Only the server can tell whether it is true. */
  readonly claims: Claims | null;
  /** Log in. Rejects with an AuthError, or as fetch does where no answer came. */
  login(credentials: Record<string, unknown>): Promise<void>;
  /** Log out, in all tabs. Rejects where no answer came: the server then still knows the session. */
  logout(): Promise<void>;
  /** Log out on all devices. Rejects as `logout` does. */
  logoutAll(): Promise<void>;
  /** Get this page a token if there is a session; tell whether there is one. `force`: after a login by redirect, to take whatever session there is. */
  restore(options?: { force?: boolean }): Promise<boolean>;
  /** Like fetch, with the access token; on a 401 it is refreshed and the request sent once more. */
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** The access token, for what fetch can't send, such as a WebSocket; null where there is no session. */
  accessToken(): Promise<string | null>;
  /** Let go of timers and channel. The session stays; what is asked of this client later is refused. */
  destroy(): void;
  addEventListener<K extends keyof ClientEventMap>(
    type: K,
    listener: (this: Client, event: ClientEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof ClientEventMap>(
    type: K,
    listener: (this: Client, event: ClientEventMap[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

export declare function createClient(options: ClientOptions, environment?: Environment): Client;
