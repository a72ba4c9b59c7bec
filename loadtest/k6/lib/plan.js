// What this process shall do: a file that the driver writes (STORM_LOAD_PLAN), and the secret, which
// comes by the environment alone (STORM_JWT_SECRET), or a file with a token for each user.

import { SharedArray } from "k6/data";

export const plan = JSON.parse(open(__ENV.STORM_LOAD_PLAN));

const rooms = new SharedArray("rooms", () => JSON.parse(open(plan.channels)).rooms);
const smalls = new SharedArray("smalls", () => JSON.parse(open(plan.channels)).smalls);
export const hall = Number(
  new SharedArray("hall", () => [JSON.parse(open(plan.channels)).hall])[0],
);

export const tokens = plan.tokens
  ? new SharedArray("tokens", () => open(plan.tokens).split("\n"))
  : null;

// Everybody is in the hall, in one room of a thousand and in one small room.
export function channelsOf(number) {
  return [hall, rooms[number % rooms.length], smalls[Math.floor(number / plan.small_size)]];
}

// The users of one VU: [first, after the last).
export function usersOf(vu) {
  const first = plan.first + (vu - 1) * plan.sockets_per_vu;
  return [first, Math.min(first + plan.sockets_per_vu, plan.first + plan.users)];
}

export const talkBegins = plan.began_ms + plan.ramp_ms + plan.calm_ms;
export const talkEnds = talkBegins + plan.hold_ms;
