// What is counted. k6's own metrics carry its thresholds and summary; beside them stand plain counts
// and latencies in buckets, which cost almost nothing and which the driver adds up over all VUs and
// processes: percentiles of different processes cannot be merged, buckets can.

import { Counter, Rate, Trend } from "k6/metrics";

import { plan } from "./plan.js";

export const MARK = "storm-load ";

const connectTime = new Trend("storm_connect_ms", true);
const resumeTime = new Trend("storm_resume_ms", true);
const ackTime = new Trend("storm_ack_ms", true);
const deliveryTime = new Trend("storm_delivery_ms", true);
const errors = new Rate("storm_errors");
const counters = {};
for (const name of ["sent", "acked", "delivered", "dropped", "lost", "doubled", "out_of_order"]) {
  counters[name] = new Counter(`storm_${name}`);
}

// The k6 thresholds of this process; the verdict on all processes is the driver's.
export function thresholds() {
  const limits = plan.thresholds;
  const found = {};
  const p95 = (name, limit) => {
    if (limit !== undefined) found[name] = [`p(95)<${limit}`];
  };
  p95("storm_connect_ms", limits.connect_p95_ms);
  p95("storm_ack_ms", limits.ack_p95_ms);
  p95("storm_delivery_ms", limits.delivery_p95_ms);
  if (limits.errors !== undefined) found.storm_errors = [`rate<${limits.errors}`];
  for (const name of ["lost", "doubled", "dropped"]) {
    if (limits[name] !== undefined) found[`storm_${name}`] = [`count<=${limits[name]}`];
  }
  return found;
}

// Milliseconds one by one up to 256, then 16 buckets for each doubling (loadtest/loading/buckets.py
// reads them).
const EXACT = 256;
const PER_DOUBLING = 16;
const LAST = EXACT + PER_DOUBLING * 13;

export function bucketOf(milliseconds) {
  if (milliseconds < EXACT) return Math.max(0, Math.ceil(milliseconds));
  return Math.min(LAST, EXACT + Math.floor(Math.log2(milliseconds / EXACT) * PER_DOUBLING));
}

class Histogram {
  constructor() {
    this.counts = new Array(LAST + 1).fill(0); // cheaper than a Map or a typed array
    this.touched = []; // buckets with a count: few of all
  }

  add(milliseconds) {
    this.hit(bucketOf(milliseconds));
  }

  hit(bucket) {
    if (this.counts[bucket] === 0) this.touched.push(bucket);
    this.counts[bucket] += 1;
  }

  take() {
    const pairs = [];
    for (const bucket of this.touched) {
      pairs.push(bucket, this.counts[bucket]);
      this.counts[bucket] = 0;
    }
    this.touched = [];
    return pairs;
  }
}

// The figures of one VU since it last told them.
export class Tally {
  constructor() {
    this.sockets = 0; // open at this moment
    this.ready = 0; // of them with all channels subscribed
    this.delivered = 0;
    this.others = 0; // events that are not messages
    this.toSample = plan.delivery_sample;
    this.counts = {};
    this.times = {};
    for (const name of ["connect", "resume", "ack", "delivery", "hall"]) {
      this.times[name] = new Histogram();
    }
  }

  count(name, amount = 1) {
    this.counts[name] = (this.counts[name] || 0) + amount;
  }

  connected(milliseconds) {
    this.times.connect.add(milliseconds);
    connectTime.add(milliseconds);
    this.good();
  }

  resumed(milliseconds) {
    this.times.resume.add(milliseconds);
    resumeTime.add(milliseconds);
  }

  acked(milliseconds) {
    this.times.ack.add(milliseconds);
    ackTime.add(milliseconds);
    this.count("acked");
    this.good();
  }

  // The hot path. A sample of k6 costs as much as the rest, so k6 gets one of many.
  delivery(milliseconds, inHall) {
    this.delivered += 1;
    if (inHall) {
      this.times.hall.add(milliseconds);
      return;
    }
    // What is measured is whole milliseconds, nearly always few: their own bucket.
    const few = milliseconds >= 0 && milliseconds < EXACT;
    this.times.delivery.hit(few ? milliseconds : bucketOf(milliseconds));
    this.toSample -= 1;
    if (this.toSample === 0) {
      this.toSample = plan.delivery_sample;
      deliveryTime.add(milliseconds);
    }
  }

  good() {
    this.counts.good = (this.counts.good || 0) + 1;
    errors.add(false);
  }

  bad(kind) {
    this.counts.bad = (this.counts.bad || 0) + 1;
    this.counts[`bad:${kind}`] = (this.counts[`bad:${kind}`] || 0) + 1;
    errors.add(true);
  }

  tell(more) {
    if (this.delivered > 0) this.count("delivered", this.delivered);
    if (this.others > 0) this.count("others", this.others);
    this.delivered = this.others = 0;
    // A sample of k6 for all of a second, not for each.
    for (const name of Object.keys(this.counts)) {
      if (name in counters) counters[name].add(this.counts[name]);
    }
    const times = {};
    for (const name of Object.keys(this.times)) {
      const pairs = this.times[name].take();
      if (pairs.length > 0) times[name] = pairs;
    }
    const line = { v: __VU, t: Date.now(), o: this.sockets, r: this.ready };
    console.log(MARK + JSON.stringify({ ...line, c: this.counts, h: times, ...more }));
    this.counts = {};
  }
}
