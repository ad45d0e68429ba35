/** The options of a client. */
export interface ClientOptions {
  /** Where `twotoken.urls` is mounted, such as "/api/auth/". */
  authUrl: string;
  /** Origins whose requests carry the access token. Default: the page's origin and that of `authUrl`. */
  apiOrigins?: string[];
  /** Milliseconds to wait for an answer to login, refresh and logout. Default: 30 000. */
  timeout?: number;
  /** Whether refreshes send an Idempotency-Key. Set it to false if pages of several origins share a cookie. Default: true. */
  keys?: boolean;
  /**
   * Whether logins bind the session to a key of this browser (DPoP, RFC 9449), so that a copied token is useless.
   * true: they do if the browser can keep a key. "required": login rejects if it can't. Default: false.
   */
  dpop?: boolean | "required";
  /**
   * Asks the user to prove again who they are, when the API wants a more recent login (RFC 9470). Returns what
   * `reauthenticate/` takes, such as `{ password }`, or null: then the call gets the API's 401.
   */
  onStepUp?: (demand: StepUp) => Credentials | null | Promise<Credentials | null>;
}

export type Credentials = Record<string, unknown>;

export interface StepUp {
  /** How many seconds ago the login may have been. */
  maxAge: number;
  /** Why the previous credentials were refused; undefined the first time. */
  error?: AuthError;
}

/** Where key pairs are kept, each under the name of a mount. All tabs of an origin share them. */
export interface DeviceKeys {
  get(name: string): Promise<CryptoKeyPair | undefined>;
  set(name: string, pair: CryptoKeyPair): Promise<unknown>;
}

/** Browser APIs that the client uses. A page can wrap them, and a test can replace them. */
export interface Environment {
  fetch?: typeof fetch;
  locks?: Pick<LockManager, "request">;
  /** Default: localStorage. null: no storage. */
  storage?: Pick<Storage, "getItem" | "setItem" | "removeItem"> | null;
  /** Default: IndexedDB. null: no key is kept. */
  deviceKeys?: DeviceKeys | null;
  BroadcastChannel?: typeof BroadcastChannel;
  location?: { readonly href: string; readonly origin: string };
  document?: { readonly visibilityState: string };
  /** Its event `online` ends the pause before a retry. */
  window?: Pick<EventTarget, "addEventListener" | "removeEventListener">;
  now?: () => number;
  setTimeout?: (callback: () => void, milliseconds: number) => any;
  clearTimeout?: (timer: any) => void;
}

/** `logout` and `replaced` (the cookie is of another session) come from the browser, the others from the server. */
export type EndReason =
  | "logout" | "replaced"
  | "missing" | "invalid" | "expired" | "revoked" | "reused" | "password_changed" | "user_inactive"
  | "wrong_device";

/** The claims of an access token. */
export interface Claims {
  sub: string;
  sid: string;
  jti: string;
  iat: number;
  exp: number;
  /** When the user proved who they are: at the login, or at a step-up. */
  auth_time?: number;
  /** The methods by which they proved it (RFC 8176). */
  amr?: string[];
  [name: string]: unknown;
}

export interface ClientEventMap {
  /** This tab has got a session: by login, restore, or another tab. */
  sessionstarted: CustomEvent<{ claims: Claims }>;
  sessionended: CustomEvent<{ reason: EndReason }>;
  /** There is a new access token, good for `expiresIn` seconds. */
  tokenchanged: CustomEvent<{ expiresIn: number }>;
}

/** An unexpected answer: an error status, or no JSON. Network errors are not wrapped: they stay fetch's TypeError. */
export declare class AuthError extends Error {
  readonly status: number;
  readonly code: string;
  readonly reason: string;
  /** Errors by field, if the status is 400. */
  readonly fields: Record<string, string[]> | null;
  /** Seconds. */
  readonly retryAfter: number;
}

/** A page's client. Its methods, except those of EventTarget, also work when they are passed on, as in `onClick={client.logout}`. */
export interface Client extends EventTarget {
  /** Whether there is a session: this tab has a token, or this browser's storage says that it can get one. */
  readonly isAuthenticated: boolean;
  /** The claims of the access token, or null. They are not verified here: only the server can do that. */
  readonly claims: Claims | null;
  /** Log in. Rejects with an AuthError, or with fetch's error if no answer came. A login is never repeated. */
  login(this: void, credentials: Credentials): Promise<void>;
  /** Log out in all tabs. Rejects if no answer came, even after retries: then the session may still be active on the server. */
  logout(this: void): Promise<void>;
  /** Log out on all devices. Rejects if no answer came. */
  logoutAll(this: void): Promise<void>;
  /** Get an access token if there is a session, and tell whether there is one. `force` asks the server in any case: use it after a login by redirect. */
  restore(this: void, options?: { force?: boolean }): Promise<boolean>;
  /** Like fetch, with the access token. After a 401 the token is refreshed, or `onStepUp` is asked, and the request is sent again. */
  fetch(this: void, input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  /** The access token, for requests that fetch can't send, such as a WebSocket; null if there is no session. The API refuses a bound token (`dpop`) that comes without a DPoP proof. */
  accessToken(this: void): Promise<string | null>;
  /** Stop the timers and close the channel. The session stays. Later calls of this client are refused. */
  destroy(this: void): void;
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
