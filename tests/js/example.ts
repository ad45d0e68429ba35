// A use of the client, for the compiler: it is never run. Where a line must not compile, it says so.
import { AuthError, createClient } from "twotoken";
import type { Claims, Client, ClientOptions, Credentials, DeviceKeys, EndReason, Environment, StepUp } from "twotoken";

const options: ClientOptions = { authUrl: "/api/auth/", apiOrigins: ["https://api.example"], timeout: 10_000, keys: false };
const kept = new Map<string, CryptoKeyPair>();
const deviceKeys: DeviceKeys = { get: async (name) => kept.get(name), set: async (name, pair) => kept.set(name, pair) };
const environment: Environment = { fetch, locks: navigator.locks, storage: null, now: () => performance.now(), window, deviceKeys };

export const client: Client = createClient(options, environment);

createClient({ authUrl: "/api/auth/", dpop: true, onStepUp: () => null });
createClient({ authUrl: "/api/auth/", dpop: "required", onStepUp: confirmIdentity }, { deviceKeys: null });

/** Ask for the password again. */
async function confirmIdentity({ maxAge, error }: StepUp): Promise<Credentials | null> {
  const password = prompt(error?.message ?? `Your password, for the next ${maxAge.toFixed()} seconds:`);
  return password === null ? null : { password };
}

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
  const proven: number | undefined = claims.auth_time;
  console.log(claims.sub, expires, staff, proven, claims.amr?.includes("hwk"));
}

function leave(reason: EndReason): void {
  // @ts-expect-error: not one of them
  if (reason === "bored") console.log(reason);
  if (reason === "wrong_device") console.log("This browser has lost its key.");
}

// @ts-expect-error: where to log in has to be said
createClient({});
// @ts-expect-error: neither true nor "required"
createClient({ authUrl: "/api/auth/", dpop: "yes" });
// @ts-expect-error: nobody sets these
client.claims = null;
