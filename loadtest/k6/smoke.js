// 200 virtual users talk, drop and come back. Each checks what it was given: every seq once, in
// order, none missing. `loadtest/smoke.py` starts a gateway and runs this; see loadtest/README.md.
//
// Environment: URL, TOKENS (file: {"users": [token, ...], "channels": [id, ...]}), VUS, MESSAGES,
// SECONDS (of talk), SUMMARY (file for the figures), SKIP_ONE=1 (fault on purpose: one client
// forgets one event; the run must fail).

import http from "k6/http";
import { SharedArray } from "k6/data";
import { Counter, Rate, Trend } from "k6/metrics";
import { WebSocket } from "k6/experimental/websockets";

const URL = __ENV.URL;
const VUS = Number(__ENV.VUS || 200);
const MESSAGES = Number(__ENV.MESSAGES || 20);
const TALK_MS = Number(__ENV.SECONDS || 40) * 1000;
const RAMP_MS = 8000;
const SETTLE_MS = 5000;
const PATIENCE_MS = 20000;
const DROPS = 2;
const SKIP_ONE = __ENV.SKIP_ONE === "1";

const given = new SharedArray("tokens", () => [JSON.parse(open(__ENV.TOKENS))])[0];

const connectTime = new Trend("storm_connect_ms", true);
const resumeTime = new Trend("storm_resume_ms", true);
const ackTime = new Trend("storm_ack_ms", true);
const deliveryTime = new Trend("storm_delivery_ms", true);
const loginTime = new Trend("storm_register_login_ms", true);
const errors = new Rate("storm_errors");
const sent = new Counter("storm_sent");
const acked = new Counter("storm_acked");
const retried = new Counter("storm_retried");
const received = new Counter("storm_received");
const dropped = new Counter("storm_drops");
const lost = new Counter("storm_lost");
const repeated = new Counter("storm_repeated");

export const options = {
  scenarios: {
    talk: {
      executor: "per-vu-iterations",
      vus: VUS,
      iterations: 1,
      maxDuration: `${Math.ceil((RAMP_MS + TALK_MS + SETTLE_MS + PATIENCE_MS) / 1000) + 30}s`,
    },
  },
  thresholds: {
    storm_connect_ms: ["p(95)<200"],
    storm_ack_ms: ["p(95)<200"],
    storm_errors: ["rate<0.001"],
    storm_lost: ["count==0"],
    storm_repeated: ["count==0"],
    // None of the above is good news when nothing happened.
    storm_acked: [`count==${VUS * MESSAGES}`],
    storm_received: [`count>=${VUS * MESSAGES}`],
    storm_drops: [`count==${VUS * DROPS}`],
  },
  // Go does not repeat a POST on a kept connection that the server closes in the same moment, as
  // browsers do; that would be an error of this script.
  noConnectionReuse: true,
  summaryTrendStats: ["min", "med", "p(95)", "p(99)", "max", "count"],
};

export function setup() {
  return { began: Date.now() };
}

function failed(what, detail) {
  errors.add(1);
  console.error(`${what}: ${detail}`);
}

function call(method, path, token, body) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  // Without cookies: a login must not make the later requests of this user others than they say.
  const answer = http.request(method, URL + path, body ? JSON.stringify(body) : null, {
    headers,
    jar: new http.CookieJar(),
  });
  if (answer.status < 200 || answer.status > 299) {
    failed(`${method} ${path}`, `${answer.status} ${answer.body}`);
    return null;
  }
  errors.add(0);
  return answer.json();
}

class Client {
  constructor(number, began) {
    this.number = number;
    this.began = began;
    this.name = `user-${number}`;
    this.channel = given.channels[number % given.channels.length];
    this.token = given.users[number];
    this.ticketed = number % 4 < 2;
    this.last = null; // newest seq that is had
    this.first = null; // seq that it began after
    this.missing = 0;
    this.received = 0;
    this.waiting = new Map(); // ref → [payload, when it was written]
    this.mine = new Map(); // seq → payload, of acks
    this.got = new Map(); // seq → payload, of own messages received
    this.socket = null;
    this.over = false;
    this.skipped = !(SKIP_ONE && number === 1);
  }

  // One in four registers; the others' names come from another back end that shares the secret.
  enter() {
    if (this.number % 4 === 0) {
      this.name = `new-${this.number}`;
      const who = { user_id: this.name, password: `password of ${this.name}` };
      const at = Date.now();
      if (call("POST", "/auth/register", null, who) === null) return false;
      const login = call("POST", "/auth/login", null, who);
      if (login === null) return false;
      loginTime.add(Date.now() - at);
      this.token = login.access_token;
    }
    return true;
  }

  connect() {
    if (this.over || (this.socket !== null && !this.socket.leaving)) return;
    let query = this.last === null ? `?channel_id=${this.channel}` : "";
    const headers = {};
    if (this.ticketed) {
      const ticket = call("POST", "/auth/ticket", this.token);
      if (ticket === null) return this.again();
      query += `${query ? "&" : "?"}token=${ticket.token}`;
    } else {
      headers.Authorization = `Bearer ${this.token}`;
    }
    const at = Date.now();
    const socket = new WebSocket(`${URL.replace("http", "ws")}/ws${query}`, null, { headers });
    this.socket = socket;
    socket.leaving = false;
    socket.onmessage = (message) => this.onEvent(socket, JSON.parse(message.data), at);
    socket.onerror = (error) => {
      if (!socket.leaving) failed(`${this.name} socket`, error.error);
    };
    socket.onclose = () => {
      if (socket.leaving) return;
      failed(this.name, "closed by the server");
      socket.leaving = true;
      this.again();
    };
  }

  again() {
    setTimeout(() => this.connect(), 500 + Math.random() * 500);
  }

  onEvent(socket, event, at) {
    if (socket !== this.socket || socket.leaving) return;
    switch (event.type) {
      case "hello":
        errors.add(event.user_id === this.name ? 0 : 1);
        connectTime.add(Date.now() - at);
        if (this.last !== null) {
          this.say({ type: "subscribe", channel_id: this.channel, since: this.last });
        }
        return;
      case "subscribed":
        if (event.gap) failed(this.name, `gap ${JSON.stringify(event.gap)}`);
        if (this.last === null) this.first = this.last = event.head;
        else resumeTime.add(Date.now() - at);
        socket.ready = true;
        for (const ref of this.waiting.keys()) {
          retried.add(1);
          this.write(ref);
        }
        return;
      case "ack": {
        const waiting = this.waiting.get(event.ref);
        if (waiting === undefined) return failed(this.name, `an ack for nothing: ${event.ref}`);
        this.waiting.delete(event.ref);
        ackTime.add(Date.now() - waiting[1]);
        acked.add(1);
        errors.add(0);
        this.mine.set(event.seq, waiting[0]);
        return;
      }
      case "error":
        return failed(this.name, JSON.stringify(event));
      default:
        if (event.seq !== undefined && event.channel_id === this.channel) this.onDurable(event);
    }
  }

  onDurable(event) {
    if (event.type === "read") return; // a cursor, not a place in the log
    if (!this.skipped && this.last - this.first > 20) {
      this.skipped = true; // the fault on purpose
      return;
    }
    if (event.seq <= this.last) {
      repeated.add(1);
      return;
    }
    this.missing += event.seq - this.last - 1;
    this.last = event.seq;
    if (event.type !== "message") return;
    // A sample of k6 costs more than the message: one in ten is timed, the count is told at the end.
    this.received += 1;
    const [author, , at] = event.payload.split(" ");
    if (author !== event.user_id) failed(this.name, `${event.user_id} said what ${author} sent`);
    if (event.user_id === this.name) this.got.set(event.seq, event.payload);
    if (this.received % 10 === 0) deliveryTime.add(Date.now() - Number(at));
  }

  say(command) {
    this.socket.send(JSON.stringify(command));
  }

  talk(count) {
    const ref = `${this.name}-${count}`;
    this.waiting.set(ref, [`${this.name} ${count} ${Date.now()}`, 0]);
    sent.add(1);
    if (this.socket !== null && this.socket.ready && !this.socket.leaving) this.write(ref);
  }

  write(ref) {
    const entry = this.waiting.get(ref);
    entry[1] = Date.now();
    this.say({ type: "message", channel_id: this.channel, payload: entry[0], ref });
  }

  // Gone in the middle of everything; what was written and not acked is written again later.
  drop() {
    dropped.add(1);
    if (this.socket !== null) {
      this.socket.leaving = true;
      this.socket.close();
    }
    setTimeout(() => this.connect(), 300 + Math.random() * 1700);
  }

  // The end: late is not lost, so a slow machine gets time to catch up, within a bound.
  check(patience) {
    if (patience > 0) {
      const channel = call("GET", `/channels/${this.channel}`, this.token);
      if (channel === null || this.last === null || this.last < channel.head || this.waiting.size) {
        setTimeout(() => this.check(patience - 1000), 1000);
        return;
      }
    }
    this.over = true;
    const channel = call("GET", `/channels/${this.channel}`, this.token);
    if (channel === null || this.last === null) {
      failed(this.name, "never came in");
    } else {
      // Missing in the middle, and at the end: the head is what the store has.
      const behind = Math.max(0, channel.head - this.last);
      if (this.missing) console.error(`${this.name}: ${this.missing} missing in between`);
      if (behind) console.error(`${this.name}: at ${this.last}, ${behind} behind the head`);
      lost.add(this.missing + behind);
      received.add(this.received);
      repeated.add(0);
      if (this.waiting.size) failed(this.name, `${this.waiting.size} messages without an ack`);
      for (const [seq, payload] of this.mine) {
        const had = this.got.get(seq);
        // An own message may come while a drop hides it; then `missing` has counted it.
        if (had !== payload) failed(this.name, `acked as ${seq}, received there: ${had}`);
      }
    }
    if (this.socket !== null) {
      this.socket.leaving = true;
      this.socket.close();
    }
  }
}

export default function (data) {
  const number = __VU - 1;
  const client = new Client(number, data.began);
  const at = (moment, what) => setTimeout(what, Math.max(0, data.began + moment - Date.now()));
  // Evenly over the ramp: a thundering herd is another test.
  at((number / VUS) * RAMP_MS, () => client.enter() && client.connect());
  const talk = RAMP_MS + 2000;
  for (let count = 0; count < MESSAGES; count++) {
    at(talk + ((count + Math.random()) / MESSAGES) * TALK_MS, () => client.talk(count));
  }
  for (let drop = 0; drop < DROPS; drop++) {
    at(talk + ((drop + Math.random() * 0.7) / DROPS) * TALK_MS, () => client.drop());
  }
  at(talk + TALK_MS + SETTLE_MS, () => client.check(PATIENCE_MS));
}

export function handleSummary(data) {
  const figures = {};
  const failures = [];
  for (const [name, metric] of Object.entries(data.metrics)) {
    if (!name.startsWith("storm_")) continue;
    figures[name] = metric.values;
    for (const [rule, outcome] of Object.entries(metric.thresholds || {})) {
      if (!outcome.ok) failures.push(`${name} ${rule}: ${JSON.stringify(metric.values)}`);
    }
  }
  const summary = JSON.stringify({ figures, failures });
  return __ENV.SUMMARY ? { [__ENV.SUMMARY]: summary } : { stdout: `${summary}\n` };
}
