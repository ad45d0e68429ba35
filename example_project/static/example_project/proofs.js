// What an app does to bind its tokens to its device: DPoP, RFC 9449. In a page, twotoken's client does this by itself.

const ECDSA = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const encode = (text) => new TextEncoder().encode(text);
const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

/** Whether this browser can make keys. Browsers allow it only on https and on localhost. */
export const canBind = Boolean(globalThis.crypto?.subtle);

/** Make a key pair. Nobody can read the private key, not even this page. */
export const makeKey = () => crypto.subtle.generateKey(ECDSA, false, ["sign"]);

/** Prove possession of the key, for one POST to a URL. */
export async function prove({ privateKey, publicKey }, url) {
  const { crv, kty, x, y } = await crypto.subtle.exportKey("jwk", publicKey);
  const claims = { jti: crypto.randomUUID(), htm: "POST", htu: url, iat: Math.floor(Date.now() / 1000) };
  const parts = [{ typ: "dpop+jwt", alg: "ES256", jwk: { crv, kty, x, y } }, claims];
  const signed = parts.map((part) => base64url(encode(JSON.stringify(part)))).join(".");
  return `${signed}.${base64url(await crypto.subtle.sign(ECDSA, privateKey, encode(signed)))}`;
}
