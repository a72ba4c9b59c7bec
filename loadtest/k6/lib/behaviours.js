// How people behave: who says something, where, when; who goes and comes back. A profile names one.

import { plan, talkBegins, talkEnds } from "./plan.js";

const [HALL, ROOM, SMALL] = [0, 1, 2];

const anyOf = (users) => users[Math.floor(Math.random() * users.length)];

function placeByMix() {
  const { hall = 0, room = 0 } = plan.mix;
  const chance = Math.random();
  if (chance < hall) return HALL;
  return chance < hall + room ? ROOM : SMALL;
}

const byMix = (users) => [anyOf(users), placeByMix()];

function rateAt(second) {
  let rate = plan.messages_per_second;
  for (const { at, seconds, factor } of plan.spikes) {
    if (second >= at && second < at + seconds) rate *= factor;
  }
  return rate;
}

// The hall has a row of its own: one user says something to everybody now and then.
function talkInHall(crowd) {
  if (plan.hall_every_seconds <= 0 || crowd.users[0].number !== 0) return;
  const step = plan.hall_every_seconds * 1000;
  for (let due = talkBegins + step / 2; due < talkEnds; due += step) {
    setTimeout(() => crowd.write(crowd.users[0], HALL, due), Math.max(1, due - Date.now()));
  }
}

function steadyChat(crowd) {
  crowd.talk(rateAt, byMix);
  talkInHall(crowd);
}

// Most of it in one room, by those who are in it.
function hotRoom(crowd) {
  const inIt = crowd.users.filter((user) => user.number % plan.rooms === 0);
  const hot = (users) =>
    inIt.length > 0 && Math.random() < plan.hot_share ? [anyOf(inIt), ROOM] : byMix(users);
  crowd.talk(rateAt, hot);
  talkInHall(crowd);
}

// A share of all goes at once and comes back within some seconds, several times.
function reconnectStorm(crowd) {
  steadyChat(crowd);
  const { times, share, within_seconds: within } = plan.storms;
  for (let storm = 0; storm < times; storm++) {
    const at = talkBegins + ((storm + 0.5) / times) * plan.hold_ms;
    setTimeout(
      () => {
        for (const user of crowd.users) {
          if (Math.random() < share) user.leave(Math.random() * within * 1000);
        }
      },
      Math.max(1, at - Date.now()),
    );
  }
}

// The slow ones are a process of its own, which the driver freezes; they listen and say nothing.
function slowReaders(crowd) {
  if (!plan.slow) steadyChat(crowd);
}

export const behaviours = {
  steady_chat: steadyChat,
  hot_room: hotRoom,
  reconnect_storm: reconnectStorm,
  slow_readers: slowReaders,
  // Ramp, spikes by the profile, and faults, which the driver injects.
  storm_day: steadyChat,
};
