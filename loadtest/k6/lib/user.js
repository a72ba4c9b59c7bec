// One user: connects, follows three channels, says what it is told to, comes back after a loss.
//
// A message costs k6 its time in JavaScript, so the frequent events are read as text by position;
// JSON.parse takes six times as long. What a frame looks like is fixed by docs/api.md, and what is
// relied on here is that `type` and `channel_id` come first.

import { WebSocket } from "k6/experimental/websockets";

import { Ledger } from "./ledger.js";
import { channelsOf, hall, plan } from "./plan.js";
import { nameOf, tokenOf } from "./tokens.js";

const HALL = 0;
const ROOM = 1;
const SMALL = 2;
const MESSAGE = '{"type":"message","channel_id":';
const CHANNEL = '"channel_id":';
const SEQ = '"seq":';
const HEAD = '"head":';
const GAP = '"gap":{';
const RESET = '"reset":true';
const FIRST_BACKOFF_MS = 500;
const LAST_BACKOFF_MS = 30000;
const PATIENCE_MS = plan.patience_ms;
const OPEN = 1;
// The server writes its answer to the handshake and `hello` at once. With very many connections k6
// loses one such `hello` of about 10,000, though the bytes have reached its process.
const HELLO_TICKS = 3;
const [M, A, S, H, E, R, C] = ["m", "a", "s", "h", "e", "r", "c"].map((one) => one.charCodeAt(0));

function numberAfter(text, name) {
  const at = text.indexOf(name);
  return at < 0 ? NaN : parseInt(text.substring(at + name.length, at + name.length + 16), 10);
}

// What went wrong, without whom it happened to: "dial tcp 127.0.0.1:8080: connect: connection refused"
// is "connection refused".
function reasonOf(error) {
  return error.substring(error.lastIndexOf(": ") + 1).replace(/\d+/g, "#").trim().substring(0, 60);
}

export class User {
  constructor(number, crowd) {
    this.number = number;
    this.crowd = crowd; // all users of this VU, and what they share
    this.tally = crowd.tally;
    this.ledger = new Ledger(this.tally);
    this.channels = channelsOf(number);
    // Made before the first comes: a machine that is full then has nothing to spare.
    this.params = { headers: { Authorization: `Bearer ${tokenOf(number)}` } };
    this.socket = null;
    this.helloed = false;
    this.pending = 0; // subscriptions that are not answered
    this.ready = false;
    this.came = false; // was ready once
    this.joined = plan.members; // is a member of its small room
    this.since = 0; // when what is being opened should have been
    this.opened = 0; // when it was opened
    this.silent = 0; // ticks at which it was open, without hello
    this.tries = 0;
    this.after = 0; // milliseconds that a drain asked for
    this.sentAway = false;
    this.away = false; // by its own wish
    this.replaying = null; // by place: up to where it is told what was said while it was away
    this.code = "broken"; // with which the connection was closed
    this.reason = ""; // what k6 said of it
    this.over = false;
    this.skips = plan.skip_one && number === 0 ? 1 : 0;
  }

  // --- the connection ---

  // `since`: when it should have begun; the time until `hello` counts from there.
  connect(since) {
    if (this.over || this.socket !== null) return;
    this.since = since;
    this.opened = Date.now();
    this.silent = 0;
    this.replaying = this.away ? [-1, -1, -1] : null;
    this.away = false;
    this.code = "broken";
    this.reason = "";
    const where = this.joined ? plan.ws_url : `${plan.ws_url}?channel_id=${this.channels[SMALL]}`;
    const socket = new WebSocket(where, null, this.params);
    this.socket = socket;
    this.crowd.opening.add(this);
    this.helloed = this.ready = this.sentAway = false;
    this.pending = 3;
    socket.onmessage = (event) => {
      if (socket === this.socket) this.hear(event.data);
    };
    socket.onerror = (event) => {
      if (socket !== this.socket) return;
      // k6 tells the code of the close frame nowhere else.
      const found = /close (\d{4})/.exec(event.error);
      if (found !== null) this.code = found[1];
      this.reason = reasonOf(event.error);
      this.crowd.complain(nameOf(this.number), event.error);
    };
    socket.onclose = () => {
      if (socket === this.socket) this.lose();
    };
  }

  lose() {
    const wasIn = this.helloed;
    this.gone();
    if (this.over) return;
    if (!this.sentAway) {
      this.tally.count(`closed:${this.code}`);
      if (wasIn) this.tally.count("dropped");
      else {
        this.tally.bad("refused");
        this.tally.count(`refused:${this.reason || "no reason"}`);
      }
    }
    this.backOff();
  }

  // A connection that gives no answer is ended by the client.
  giveUp(now) {
    const socket = this.socket;
    // By ticks: what waits while this process stands still is heard between two of them.
    if (!this.helloed && socket.readyState === OPEN) this.silent += 1;
    if (this.silent <= HELLO_TICKS && now - this.opened < PATIENCE_MS) return;
    const waits = this.helloed ? `${this.pending} of 3 subscriptions` : "hello";
    this.crowd.complain(nameOf(this.number), `waited for ${waits} in vain`);
    this.tally.bad("no answer");
    this.gone();
    socket.close();
    this.backOff();
  }

  backOff() {
    const bound = Math.min(LAST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.tries);
    this.tries += 1;
    this.comeBack(this.after || Math.random() * bound);
    this.after = 0;
  }

  // Go on purpose, and come back later.
  leave(milliseconds) {
    const socket = this.socket;
    if (socket === null || this.over) return;
    this.gone();
    this.away = true;
    this.tally.count("left");
    socket.close();
    this.comeBack(milliseconds);
  }

  comeBack(milliseconds) {
    const due = Date.now() + milliseconds;
    setTimeout(() => this.connect(due), milliseconds);
  }

  gone() {
    this.socket = null;
    this.crowd.opening.delete(this);
    if (this.helloed) this.tally.sockets -= 1;
    if (this.ready) this.tally.ready -= 1;
    this.helloed = this.ready = false;
  }

  end() {
    this.over = true;
    const socket = this.socket;
    if (socket === null) return;
    this.gone();
    socket.close();
  }

  // --- what comes ---

  hear(text) {
    const first = text.charCodeAt(9);
    if (first === M) {
      if (text.startsWith(MESSAGE)) this.hearMessage(text);
      else this.hearDurable(text);
    } else if (first === A) this.crowd.acknowledge(text);
    else if (first === H) this.hearHello(text);
    else if (first === S) this.hearSubscribed(text);
    else if (first === E && text.startsWith("error", 9)) this.crowd.refuse(JSON.parse(text));
    else if (first === C || (first === R && text.startsWith("reaction", 9))) this.hearDurable(text);
    else if (first === R && text.startsWith("reconnect", 9)) {
      this.sentAway = true;
      this.after = JSON.parse(text).after_ms;
      this.tally.count("sent_away");
    } else this.tally.others += 1;
  }

  placeOf(channel) {
    if (channel === hall) return HALL;
    return channel === this.channels[ROOM] ? ROOM : SMALL;
  }

  hearMessage(text) {
    const end = text.indexOf(",", MESSAGE.length);
    const channel = +text.substring(MESSAGE.length, end);
    const channels = this.channels;
    const place = channel === hall ? HALL : channel === channels[ROOM] ? ROOM : SMALL;
    const at = text.lastIndexOf(SEQ) + SEQ.length;
    const seq = +text.substring(at, text.indexOf(",", at));
    if (this.skips > 0 && this.came && this.ledger.last[place] > 2) {
      this.skips -= 1; // the fault on purpose
      return;
    }
    const { last } = this.ledger;
    // A call costs k6 as much as all of this, so the usual case makes none.
    if (seq === last[place] + 1) last[place] = seq;
    else if (!this.ledger.take(place, seq)) return;
    // The payload begins with the moment at which it was to be sent: 13 digits after `"payload":"`.
    const sent = +text.substring(end + 12, end + 25);
    const now = Date.now();
    this.crowd.heard = now;
    // What was said while one was away by one's own wish was not to be delivered then.
    if (this.replaying !== null && seq <= this.replaying[place]) {
      this.tally.count("replayed");
      return;
    }
    const took = now - sent;
    if (took > this.crowd.longest) this.crowd.longest = took;
    this.tally.delivery(took, place === HALL);
  }

  hearDurable(text) {
    this.crowd.heard = Date.now();
    this.tally.others += 1;
    this.ledger.take(this.placeOf(numberAfter(text, CHANNEL)), numberAfter(text, SEQ));
  }

  hearHello(text) {
    if (text.charCodeAt(11) !== "l".charCodeAt(0)) return this.hearHeartbeat(text);
    this.helloed = true;
    this.tries = 0;
    this.tally.sockets += 1;
    if (text.includes(`"user_id":"${nameOf(this.number)}"`)) {
      this.tally.connected(Date.now() - this.since);
    } else this.tally.bad("another user");
    this.subscribe(HALL);
    this.subscribe(ROOM);
    if (this.joined) this.subscribe(SMALL); // else the URL does it
  }

  subscribe(place) {
    const since = this.ledger.since(place);
    const after = since === undefined ? "" : `,"since":${since}`;
    this.socket.send(`{"type":"subscribe","channel_id":${this.channels[place]}${after}}`);
  }

  hearSubscribed(text) {
    const channel = numberAfter(text, CHANNEL);
    const head = numberAfter(text, HEAD);
    const place = this.placeOf(channel);
    if (text.includes(GAP)) {
      const { gap } = JSON.parse(text);
      this.tally.count("gaps", gap.to - gap.from + 1);
      this.tally.bad("gap");
      this.ledger.excuse(place, gap.to);
    }
    if (text.includes(RESET)) this.tally.bad("reset");
    this.ledger.begin(place, head);
    this.crowd.learn(channel, head);
    if (this.replaying !== null) this.replaying[place] = head;
    this.pending -= 1;
    if (this.pending !== 0) return;
    this.ready = true;
    this.crowd.opening.delete(this);
    this.tally.ready += 1;
    if (this.came) this.tally.resumed(Date.now() - this.since);
    else this.crowd.come();
    this.came = this.joined = true;
    this.crowd.sayAgain(this);
  }

  // The newest seq of each channel: whoever has less asks again.
  hearHeartbeat(text) {
    this.tally.others += 1;
    if (!this.ready) return;
    // Nearly always all heads are as heard, in the order in which the channels were subscribed to.
    const { channels, ledger } = this;
    const { last } = ledger;
    const heard =
      `"${channels[HALL]}":${last[HALL]},"${channels[ROOM]}":${last[ROOM]},` +
      `"${channels[SMALL]}":${last[SMALL]}}`;
    if (ledger.holes === null && text.includes(heard)) return;
    for (let place = HALL; place <= SMALL; place++) {
      const head = numberAfter(text, `"${this.channels[place]}":`);
      if (head > this.ledger.last[place] || this.ledger.missing() > 0) {
        this.tally.count("repairs");
        this.subscribe(place);
      }
    }
  }
}
