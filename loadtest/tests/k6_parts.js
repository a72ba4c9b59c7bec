// What test_load.py asks of the parts that the scripts of k6 are made of: one line of JSON.

import { Ledger } from "../k6/lib/ledger.js";
import { bucketOf } from "../k6/lib/metrics.js";

function history(...steps) {
  const counts = {};
  const ledger = new Ledger({
    count: (name) => {
      counts[name] = (counts[name] || 0) + 1;
    },
  });
  for (const step of steps) step(ledger);
  return { ...counts, missing: ledger.missing(), last: ledger.last[1] };
}

const begin = (head) => (ledger) => ledger.begin(1, head);
const take =
  (...seqs) =>
  (ledger) =>
    seqs.forEach((seq) => ledger.take(1, seq));
const resume = (ledger) => {
  const since = ledger.since(1);
  const newest = ledger.last[1];
  for (let seq = since + 1; seq <= newest; seq++) ledger.take(1, seq);
};

export default function () {
  const ledgers = {
    "in order": history(begin(5), take(6, 7, 8)),
    hole: history(begin(5), take(6, 9)),
    "hole, then resumed": history(begin(5), take(6, 9), resume),
    late: history(begin(5), take(7, 6)),
    twice: history(begin(5), take(6, 6)),
    gap: history(begin(5), take(6, 8), (ledger) => ledger.excuse(1, 20), take(21)),
  };
  const values = [0, 0.2, 1, 254.5, 255, 255.5, 256, 257, 300, 1000, 54321, 1e9];
  const buckets = values.map((value) => [value, bucketOf(value)]);
  console.log(JSON.stringify({ ledgers, buckets }));
}
