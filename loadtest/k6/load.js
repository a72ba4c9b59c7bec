// Many users in few VUs: `loadtest/load.py` writes the plan, starts as many of these as it takes, and
// adds up what they say. See loadtest/README.md.

import { behaviours } from "./lib/behaviours.js";
import { Crowd } from "./lib/crowd.js";
import { thresholds } from "./lib/metrics.js";
import { plan, talkEnds } from "./lib/plan.js";

const LEAST_QUIET_MS = 1500;
const LOOK_MS = 100;
const PART_MIB = 8;
const PAGE_BYTES = 4096;
const MORE_THAN_ALL = 1.1; // so that garbage is collected once
const vus = Math.ceil(plan.users / plan.sockets_per_vu);
const lasts = plan.began_ms - Date.now() + plan.ramp_ms + plan.calm_ms + plan.hold_ms;

export const options = {
  scenarios: {
    [plan.behaviour]: {
      executor: "per-vu-iterations",
      vus,
      iterations: 1,
      maxDuration: `${Math.ceil((lasts + plan.settle_ms) / 1000) + 60}s`,
      gracefulStop: "1s",
    },
  },
  setupTimeout: `${Math.max(1, Math.ceil(lasts / 1000))}s`,
  thresholds: plan.slow ? {} : thresholds(),
  summaryTrendStats: ["min", "med", "p(95)", "p(99)", "max", "count"],
  // Each user has a URL of its own: as a tag it would be a time series of its own.
  systemTags: [],
};

// Nobody waits while the kernel clears pages: the process has all the memory that it may before the
// first user comes. The collection of garbage at the bound leaves it the pages.
export function setup() {
  const parts = (plan.memory_mib * MORE_THAN_ALL) / PART_MIB;
  for (let part = 0; part < parts; part++) {
    const bytes = new Uint8Array(PART_MIB * 2 ** 20);
    for (let at = 0; at < bytes.length; at += PAGE_BYTES) bytes[at] = 1;
  }
}

export default function () {
  const crowd = new Crowd();
  if (Date.now() > plan.began_ms) crowd.tally.count("late_vus");
  const ticks = setInterval(() => crowd.tick(), plan.tick_ms);
  crowd.connectAll();
  behaviours[plan.behaviour](crowd);

  // Late is not lost: there is time to catch up, within a bound.
  const leave = () => {
    const now = Date.now();
    // Where messages have taken seconds, as many seconds of silence do not mean that all has come.
    const enough = Math.max(LEAST_QUIET_MS, 2 * crowd.longest);
    const quiet = crowd.silent && now - Math.max(crowd.heard, talkEnds) > enough;
    if (!quiet && now < talkEnds + plan.settle_ms) return setTimeout(leave, LOOK_MS);
    clearInterval(ticks);
    crowd.close();
  };
  setTimeout(leave, Math.max(1, talkEnds - Date.now()));
}

export function handleSummary(data) {
  const figures = {};
  const missed = [];
  for (const [name, metric] of Object.entries(data.metrics)) {
    if (name.startsWith("storm_")) figures[name] = metric.values;
    for (const [rule, outcome] of Object.entries(metric.thresholds || {})) {
      if (!outcome.ok) missed.push(`${name} ${rule}`);
    }
  }
  return { [plan.summary]: JSON.stringify({ figures, missed }) };
}
