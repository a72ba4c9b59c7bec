// Access tokens as another back end makes them: HS256 with the secret of the deployment.

import crypto from "k6/crypto";
import encoding from "k6/encoding";

import { plan, tokens } from "./plan.js";

const SECRET = __ENV.STORM_JWT_SECRET;
const HEAD = encoding.b64encode(JSON.stringify({ alg: "HS256", typ: "JWT" }), "rawurl");
const SKEW_SECONDS = 5;

export function tokenOf(number) {
  if (tokens !== null) return tokens[number].trim();
  const now = Math.floor(Date.now() / 1000) - SKEW_SECONDS;
  const claims = { sub: nameOf(number), iat: now, exp: now + plan.token_seconds };
  const body = `${HEAD}.${encoding.b64encode(JSON.stringify(claims), "rawurl")}`;
  return `${body}.${crypto.hmac("sha256", SECRET, body, "base64rawurl")}`;
}

export function nameOf(number) {
  return `${plan.scene}-${number}`;
}
