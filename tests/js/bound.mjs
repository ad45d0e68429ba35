// A server that binds sessions to a key (RFC 9449), and browsers that can keep one.
import { World, settle } from "./world.mjs";

const WINDOW = 60; // seconds that a proof is good for, both ways
const decoded = (part) => JSON.parse(Buffer.from(part, "base64url").toString());
const digest = async (text) =>
  Buffer.from(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text))).toString("base64url");

export class BoundWorld extends World {
  constructor(options) {
    super(options);
    this.keys = new Map(); // the browser's IndexedDB
    this.bound = null; // the public key of the family
    this.bindsAccess = true; // DPOP_ACCESS
    this.accepts = true; // DPOP is not "off"
    this.nonce = null;
    this.lag = 0; // milliseconds that the server's clock is ahead
    this.showsDate = true;
    this.used = new Set();
    this.proofs = []; // the header and the claims of each
  }

  get deviceKeys() {
    return { get: async (name) => this.keys.get(name), set: async (name, pair) => this.keys.set(name, pair) };
  }

  tab(options = {}, environment = {}) {
    return super.tab({ dpop: true, ...options }, { deviceKeys: this.deviceKeys, ...environment });
  }

  /** Retry at once whatever waits for its next try, until a promise is settled: signing takes real time. */
  async retried(promise) {
    let isSettled = false;
    const settled = () => (isSettled = true);
    promise.then(settled, settled);
    for (await settle(); !isSettled; await settle()) this.window.dispatchEvent(new Event("online"));
    return promise;
  }

  /** Wait until so many refreshes have arrived. */
  async refreshes(count) {
    while (this.count("refresh/") < count) await settle();
  }

  claims() {
    return { ...super.claims(), ...(this.bound && this.bindsAccess ? { cnf: { jkt: this.bound } } : {}) };
  }

  answer(status, body, headers = {}) {
    const date = this.showsDate ? { Date: new Date(this.time + this.lag).toUTCString() } : {};
    return super.answer(status, body, { ...date, ...(this.nonce ? { "DPoP-Nonce": this.nonce } : {}), ...headers });
  }

  refuseProof(isApi, code) {
    const challenge = isApi ? { "WWW-Authenticate": `DPoP algs="ES256", error="${code}"` } : {};
    return this.answer(isApi ? 401 : 400, { detail: "No.", code }, challenge);
  }

  async serve(request) {
    const { pathname, href } = new URL(request.url);
    const isApi = !/(login|refresh|logout)\/$/.test(pathname);
    const [scheme, token] = (request.headers.get("Authorization") ?? "").split(" ");
    const proof = this.accepts ? request.headers.get("DPoP") : null;
    const problem = proof && (await this.problem(proof, request.method, href, isApi ? token : null));
    const key = proof && !problem ? JSON.stringify(this.proofs.at(-1).header.jwk) : "";
    this.scheme = scheme;
    const isBound = isApi && token && Boolean(decoded(token.split(".")[1]).cnf);
    let answer = null;
    if (problem) answer = this.refuseProof(isApi, problem);
    else if (isApi && isBound && (scheme !== "DPoP" || key !== this.bound)) answer = this.refuse("invalid");
    else if (pathname.endsWith("refresh/") && this.bound && key !== this.bound) answer = this.refuse("wrong_device");
    if (answer) this.faults.unshift(answer); // World serves it and counts the request
    if (answer && isApi && !/(all|reauthenticate)\/$/.test(pathname)) {
      this.faults.shift();
      this.requests.push({ pathname, authorization: request.headers.get("Authorization"), at: this.time });
      return answer;
    }
    if (pathname.endsWith("login/") && !answer) this.offered = key;
    return super.serve(request);
  }

  authenticate(pathname, key, token, body) {
    if (pathname.endsWith("login/")) {
      if (body.password === "wrong") return this.answer(401, { detail: "No.", code: "no_active_account" });
      this.bound = this.offered || null;
    }
    return super.authenticate(pathname, key, token, body);
  }

  /** What is wrong with a proof, by RFC 9449 section 4.3. */
  async problem(proof, method, href, token) {
    const [header, claims, signature] = proof.split(".");
    const made = { header: decoded(header), claims: decoded(claims) };
    this.proofs.push(made);
    const { typ, alg, jwk } = made.header;
    const key = await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]);
    const data = new TextEncoder().encode(`${header}.${claims}`);
    const isSigned = await crypto.subtle.verify(
      { name: "ECDSA", hash: "SHA-256" }, key, Buffer.from(signature, "base64url"), data,
    );
    const { htm, htu, iat, jti, ath, nonce } = made.claims;
    const isGood =
      isSigned && typ === "dpop+jwt" && alg === "ES256" && Object.keys(jwk).sort().join() === "crv,kty,x,y" &&
      htm === method && htu === href.split(/[?#]/)[0] && Math.abs((this.time + this.lag) / 1000 - iat) <= WINDOW + 1 &&
      jti && !this.used.has(jti) && ath === (token === null ? undefined : await digest(token));
    if (!isGood) return "invalid_dpop_proof";
    this.used.add(jti);
    return this.nonce && nonce !== this.nonce ? "use_dpop_nonce" : "";
  }
}
