// The users of one VU and the messages that they have on the way. Open loop: a message has a moment
// at which it is due, whether or not the one before has been answered, and all times count from it.

import { plan, talkBegins, talkEnds, usersOf } from "./plan.js";
import { Tally } from "./metrics.js";
import { User } from "./user.js";

const RETRY_MS = 1000;
const RETRIED = new Set(["unavailable", "rate_limited", "internal"]);
const COMPLAINTS = 5; // told of one VU; all are counted
const FILLING = "x".repeat(Math.max(0, plan.payload_bytes - 14));

// After which part of the ramp this part of the users has come. The time between two of them grows
// evenly, so that the last come at a rate that is `ramp_falls` below that of the first.
function partOfRamp(users) {
  const bend = plan.ramp_falls / (2 - plan.ramp_falls);
  return users * (1 - bend + bend * users);
}

export class Crowd {
  constructor() {
    const [first, end] = usersOf(__VU);
    this.tally = new Tally();
    this.users = [];
    this.opening = new Set(); // users that are connecting or wait for their channels
    this.waiting = new Map(); // number → {user, place, due, number}
    this.said = 0;
    this.heard = 0; // when a durable event came last
    this.longest = 0; // milliseconds that a delivery or an ack took at most
    this.heads = new Map(); // channel → newest seq that the server spoke of
    this.complaints = 0;
    for (let number = first; number < end; number++) this.users.push(new User(number, this));
    this.toCome = this.users.length;
  }

  complain(who, error) {
    this.complaints += 1;
    if (this.complaints <= COMPLAINTS) console.error(`${who}: ${error}`);
  }

  tick() {
    const now = Date.now();
    for (const user of [...this.opening]) user.giveUp(now);
    this.tally.tell();
  }

  // --- coming ---

  connectAll() {
    // One timer for all: each costs k6 more than the connect is worth.
    const due = (index) => plan.began_ms + partOfRamp(index / this.users.length) * plan.ramp_ms;
    let next = 0;
    const some = () => {
      while (next < this.users.length && due(next) <= Date.now()) {
        this.users[next].connect(due(next));
        next += 1;
      }
      if (next < this.users.length) setTimeout(some, Math.max(1, due(next) - Date.now()));
    };
    setTimeout(some, Math.max(1, due(0) - Date.now()));
  }

  // A user is in for the first time.
  come() {
    this.toCome -= 1;
    if (this.toCome === 0) this.tally.tell({ in: Date.now() });
  }

  // --- talking ---

  // `rateAt(seconds of the hold)`: messages a second of everybody; `pick()`: who says it and where.
  talk(rateAt, pick) {
    const share = this.users.length / plan.total;
    const gap = (due) => 1000 / Math.max(1e-6, share * rateAt((due - talkBegins) / 1000));
    // VUs begin at different phases, and steps vary by half, so that they do not march in step.
    let due = talkBegins + Math.random() * gap(talkBegins);
    const some = () => {
      const now = Date.now();
      while (due <= now && due < talkEnds) {
        let [user, place] = pick(this.users);
        // Nobody speaks who is away by their own wish.
        for (let tries = 0; user.away && tries < 20; tries++) [user, place] = pick(this.users);
        this.write(user, place, due);
        due += gap(due) * (0.5 + Math.random());
      }
      if (due < talkEnds) setTimeout(some, Math.max(1, due - Date.now()));
    };
    if (due < talkEnds) setTimeout(some, Math.max(1, due - Date.now()));
  }

  write(user, place, due) {
    this.said += 1;
    const entry = { user, place, due: Math.floor(due), number: this.said };
    this.waiting.set(entry.number, entry);
    this.tally.count("sent");
    if (user.ready) this.send(entry);
  }

  send(entry) {
    const channel = entry.user.channels[entry.place];
    entry.user.socket.send(
      `{"type":"message","channel_id":${channel},"payload":"${entry.due} ${FILLING}",` +
        `"ref":"${plan.run}-${plan.process}-${__VU}-${entry.number}"}`,
    );
  }

  // The same `ref` again: what was stored is acked, not stored twice.
  sayAgain(user) {
    for (const entry of this.waiting.values()) {
      if (entry.user !== user) continue;
      this.tally.count("written_on_resume");
      this.send(entry);
    }
  }

  acknowledge(text) {
    // {"type":"ack","ref":"…-<number>","channel_id":…,"id":…,"seq":…}
    const end = text.indexOf('"', 21);
    const number = +text.substring(text.lastIndexOf("-", end) + 1, end);
    const entry = this.waiting.get(number);
    if (entry === undefined) return this.tally.count("acked_again");
    this.waiting.delete(number);
    const took = Date.now() - entry.due;
    if (took > this.longest) this.longest = took;
    this.tally.acked(took);
    const seq = parseInt(text.substring(text.lastIndexOf('"seq":') + 6), 10);
    const channel = entry.user.channels[entry.place];
    this.learn(channel, seq);
  }

  learn(channel, seq) {
    if (!(seq <= this.heads.get(channel))) this.heads.set(channel, seq);
  }

  refuse(error) {
    this.tally.bad(error.code);
    this.complain("refused", JSON.stringify(error));
    if (error.ref === undefined || !error.ref.startsWith(plan.run)) return;
    const number = Number(error.ref.substring(error.ref.lastIndexOf("-") + 1));
    const entry = this.waiting.get(number);
    if (entry === undefined) return;
    if (!RETRIED.has(error.code)) {
      this.waiting.delete(number);
      return;
    }
    setTimeout(() => {
      if (this.waiting.has(number) && entry.user.ready) this.send(entry);
    }, error.retry_after_ms || RETRY_MS);
  }

  // --- the end ---

  get silent() {
    return this.waiting.size === 0 && this.users.every((user) => user.ready || !user.came);
  }

  // What each channel's users have had, added up: the driver compares it with the heads of the store.
  tails() {
    const tails = new Map(); // channel → [users, sum of their newest seq, largest of them]
    for (const user of this.users) {
      user.channels.forEach((channel, place) => {
        const last = user.ledger.last[place];
        if (last < 0) return;
        const tail = tails.get(channel) || [0, 0, 0];
        tails.set(channel, [tail[0] + 1, tail[1] + last, Math.max(tail[2], last)]);
      });
    }
    return tails;
  }

  close() {
    const tails = this.tails();
    let missing = 0;
    let never = 0;
    for (const user of this.users) {
      missing += user.ledger.missing();
      if (user.came) continue;
      never += 1;
      const state = user.socket === null ? "no connection" : `${user.pending} replies to come`;
      const hello = user.helloed ? "after" : "without";
      this.complain(`${plan.scene}-${user.number}`, `never came in: ${hello} hello, ${state}`);
    }
    // What this VU knows itself: others of the same channel, acks and replies went further.
    for (const [channel, tail] of tails) this.learn(channel, tail[2]);
    let behind = 0;
    for (const [channel, [count, sum]] of tails) behind += this.heads.get(channel) * count - sum;
    if (missing + behind > 0) this.tally.count("lost", missing + behind);
    for (let left = this.waiting.size; left > 0; left--) this.tally.bad("never acked");
    if (never > 0) this.tally.count("never_in", never);
    const rows = [];
    for (const [channel, [count, sum]] of tails) {
      rows.push([channel, count, sum, this.heads.get(channel)]);
    }
    this.tally.tell({ end: { missing, behind, unacked: this.waiting.size, tails: rows } });
    for (const user of this.users) user.end();
  }
}
