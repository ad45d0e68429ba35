// What other people's libraries for DPoP make of our server: each says what it was answered, as JSON.
import { calculateJwkThumbprint, exportJWK, SignJWT } from "jose";
import * as dpop from "dpop";
import * as oauth from "oauth4webapi";
import { Session } from "./session.mjs";

const { API, MOUNT, CREDENTIALS } = process.env;
const [library, algorithm] = process.argv.slice(2);
const credentials = JSON.parse(CREDENTIALS);
const me = `${API}/api/me/`;

async function byJose({ privateKey, publicKey }, htu, htm, nonce, token) {
  const hash = async (text) => Buffer.from(await crypto.subtle.digest("SHA-256", Buffer.from(text))).toString("base64url");
  const claims = { htu, htm, nonce, jti: crypto.randomUUID(), ath: token && (await hash(token)) };
  const { kty, crv, x, y } = await exportJWK(publicKey);
  const header = { typ: "dpop+jwt", alg: algorithm, jwk: { kty, crv, x, y } };
  return new SignJWT(claims).setProtectedHeader(header).setIssuedAt().sign(privateKey);
}

const make = library === "jose" ? byJose : dpop.generateProof;
const newKeys = () => dpop.generateKeyPair(algorithm === "EdDSA" ? "Ed25519" : algorithm);

async function call(keys, path, { method = "POST", body, access, scheme = "DPoP", nonce } = {}) {
  const url = API + path;
  const headers = { "Content-Type": "application/json" };
  if (keys) headers.DPoP = await make(keys, url, method, nonce, access);
  if (access) headers.Authorization = `${scheme} ${access}`;
  const response = await fetch(url, { method, headers, body: body && JSON.stringify(body) });
  return { status: response.status, body: await response.json(), challenge: response.headers.get("WWW-Authenticate") };
}

async function everything() {
  const keys = await newKeys();
  const thief = await newKeys();
  const login = await call(keys, `${MOUNT}login/`, { body: credentials });
  const first = { refresh: login.body.refresh };
  const called = await call(keys, "/api/me/", { method: "GET", access: login.body.access });
  const refreshed = await call(keys, `${MOUNT}refresh/`, { body: first });
  const again = await call(keys, `${MOUNT}refresh/`, { body: first }); // the answer before was lost
  const current = { refresh: again.body.refresh };
  const { access } = again.body;
  return {
    type: login.body.token_type,
    bound: called.body.claims.cnf.jkt === (await calculateJwkThumbprint(await exportJWK(keys.publicKey))),
    retried: refreshed.status === 200 && again.body.refresh === refreshed.body.refresh,
    refused: [
      await call(thief, `${MOUNT}refresh/`, { body: current }),
      await call(undefined, `${MOUNT}refresh/`, { body: current }),
      await call(thief, "/api/me/", { method: "GET", access }),
      await call(undefined, "/api/me/", { method: "GET", access, scheme: "Bearer" }),
    ].map(({ status, body }) => [status, body.reason]),
    alive: (await call(keys, `${MOUNT}refresh/`, { body: current })).status,
  };
}

// It wants OAuth's own answers from a token endpoint, so it calls the API with a token that we already have.
async function byOAuth() {
  const keys = await newKeys();
  const session = new Session(API + MOUNT, keys);
  await session.logIn(credentials);
  const DPoP = oauth.DPoP({ client_id: "app" }, keys);
  const options = { DPoP, [oauth.allowInsecureRequests]: true };
  const request = () => oauth.protectedResourceRequest(session.accessToken, "GET", new URL(me), undefined, undefined, options);
  let wasAsked = false;
  const answer = await request().catch((error) => {
    wasAsked = oauth.isDPoPNonceError(error);
    return request();
  });
  const others = { DPoP: oauth.DPoP({ client_id: "app" }, await newKeys()), [oauth.allowInsecureRequests]: true };
  const stolen = () => oauth.protectedResourceRequest(session.accessToken, "GET", new URL(me), undefined, undefined, others);
  const attempt = () => stolen().then(() => [], (error) => error.cause.map(({ scheme, parameters }) => [scheme, parameters.error]));
  let refused = await attempt();
  if (refused[0][1] === "use_dpop_nonce") refused = await attempt();
  return { status: answer.status, id: (await answer.json()).id, wasAsked, refused };
}

// The client that the page shows: it gets over nonces, an expired access token, and two requests at once.
async function byPage() {
  const session = new Session(API + MOUNT, await newKeys());
  await session.logIn(credentials);
  const before = session.refreshToken;
  const first = await session.get(me);
  session.accessToken = "x.y.z";
  const answers = await Promise.all([session.get(me), session.get(me)]);
  const copy = new Session(API + MOUNT, await newKeys(), session.refreshToken);
  return {
    statuses: [first, ...answers].map(({ status }) => status),
    rotated: session.refreshToken !== before,
    stolen: await copy.refresh().catch((error) => error.message),
  };
}

const kinds = { dpop: everything, jose: everything, oauth4webapi: byOAuth, page: byPage };
console.log(JSON.stringify(await kinds[library]()));
