/** What a client needs to know. */
export interface ClientOptions {
  /** Where `twotoken.urls` is mounted, such as "/api/auth/". */
  authUrl: string;
  /** Origins whose requests carry the access token. Default: the page's own and that of `authUrl`. */
  apiOrigins?: string[];
  /** Milliseconds to wait for an answer to login, refresh and logout. Default: 30 000. */
  timeout?: number;
}

/** The browser's facilities, to be replaced in tests. */
export interface Environment {
  fetch?: typeof fetch;
  locks?: Pick<LockManager, "request">;
  storage?: Pick<Storage, "getItem" | "setItem" | "removeItem"> | null;
  BroadcastChannel?: typeof BroadcastChannel;
  location?: { href: string; origin: string };
  document?: { visibilityState: string };
  now?: () => number;
  setTimeout?: (callback: () => void, milliseconds: number) => unknown;
  clearTimeout?: (timer: unknown) => void;
}

export type EndReason =
  | "logout" | "missing" | "invalid" | "expired" | "revoked" | "reused" | "password_changed" | "user_inactive";

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
  sessionstarted: CustomEvent<{ claims: Claims }>;
  sessionended: CustomEvent<{ reason: EndReason }>;
  tokenchanged: CustomEvent<{ expiresIn: number }>;
}

/** A refusal of the server. */
export declare class AuthError extends Error {
  readonly status: number;
  readonly code: string;
  readonly reason: string;
  readonly fields: Record<string, string[]> | null;
  readonly retryAfter: number;
}

export interface Client extends EventTarget {
  readonly isAuthenticated: boolean;
  readonly claims: Claims | null;
  login(credentials: Record<string, unknown>): Promise<void>;
  logout(): Promise<void>;
  logoutAll(): Promise<void>;
  restore(options?: { force?: boolean }): Promise<boolean>;
  fetch(input: RequestInfo | URL, init?: RequestInit): Promise<Response>;
  destroy(): void;
  addEventListener<K extends keyof ClientEventMap>(
    type: K,
    listener: (this: Client, event: ClientEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof ClientEventMap>(
    type: K,
    listener: (this: Client, event: ClientEventMap[K]) => void,
    options?: boolean | EventListenerOptions,
  ): void;
}

export declare function createClient(options: ClientOptions, environment?: Environment): Client;
