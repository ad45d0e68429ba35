// A use of the client, for the compiler: it is never run. Where a line must not compile, it says so.
import { AuthError, createClient } from "../../twotoken/static/twotoken/client.js";
import type { Claims, Client, ClientOptions, EndReason, Environment } from "../../twotoken/static/twotoken/client.js";

const options: ClientOptions = { authUrl: "/api/auth/", apiOrigins: ["https://api.example"], timeout: 10_000, keys: false };
const environment: Environment = { fetch, locks: navigator.locks, storage: null, now: () => performance.now(), window };

export const client: Client = createClient(options, environment);

client.addEventListener("sessionstarted", ({ detail }) => show(detail.claims));
client.addEventListener("sessionended", ({ detail }) => leave(detail.reason), { once: true });
client.addEventListener("tokenchanged", function ({ detail }) {
  const seconds: number = detail.expiresIn;
  console.log(seconds, this.isAuthenticated);
});
client.addEventListener("anything", (event: Event) => console.log(event.type));
client.removeEventListener("sessionended", null);

/** Log in; return what to tell the person, or nothing. */
export async function logIn(username: string, password: string): Promise<string | null> {
  try {
    await client.login({ username, password });
    return null;
  } catch (error) {
    if (!(error instanceof AuthError)) return "No connection.";
    if (error.status === 429) return `Wait ${error.retryAfter.toFixed()} seconds.`;
    return error.fields?.password?.join(" ") ?? `${error.message} (${error.code}, ${error.reason})`;
  }
}

/** Ask the API, in the ways that fetch takes. */
export async function ask(signal: AbortSignal): Promise<Response[]> {
  if (!(await client.restore({ force: true }))) return [];
  const request = new Request("/api/me/", { method: "PUT" });
  return Promise.all([client.fetch("/api/me/", { signal }), client.fetch(new URL(location.href)), client.fetch(request)]);
}

/** Open a WebSocket, if somebody is logged in. */
export async function open(): Promise<WebSocket | null> {
  const token: string | null = await client.accessToken();
  return token === null ? null : new WebSocket("/ws/news/", ["bearer", token]);
}

/** Hand methods over to a library, and to a button. */
export const library: { fetch: (request: Request) => Promise<Response> } = { fetch: client.fetch };
export const { logout, fetch: authenticatedFetch } = client;

/** Go. */
export async function logOut(everywhere: boolean): Promise<void> {
  await (everywhere ? client.logoutAll() : client.logout());
  client.destroy();
}

function show(claims: Claims): void {
  const expires: Date = new Date(claims.exp * 1000);
  // @ts-expect-error: a claim of the project's own may be anything
  const staff: boolean = claims["staff"];
  console.log(claims.sub, expires, staff);
}

function leave(reason: EndReason): void {
  // @ts-expect-error: not one of them
  if (reason === "bored") console.log(reason);
}

// @ts-expect-error: where to log in has to be said
createClient({});
// @ts-expect-error: nobody sets these
client.claims = null;
