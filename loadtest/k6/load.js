// Many users in few VUs: `loadtest/load.py` writes the plan, starts as many of these as it takes, and
// adds up what they say. See loadtest/README.md.

import { behaviours } from "./lib/behaviours.js";
import { Crowd } from "./lib/crowd.js";
import { thresholds } from "./lib/metrics.js";
import { plan, talkEnds } from "./lib/plan.js";

const LEAST_QUIET_MS = 1500;
const LOOK_MS = 100;
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
  thresholds: plan.slow ? {} : thresholds(),
  summaryTrendStats: ["min", "med", "p(95)", "p(99)", "max", "count"],
  // Each user has a URL of its own: as a tag it would be a time series of its own.
  systemTags: [],
};

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
