// What one user has had of its channels: every seq is there once and in order, or it is counted. A
// hole that a resume fills is not lost.

export class Ledger {
  constructor(tally) {
    this.tally = tally;
    this.last = [-1, -1, -1]; // newest seq, by place: hall, room, small room
    this.holes = null; // Set of "place:seq"; almost nobody has any
    this.replayed = null; // by place: up to where a repair says again what was had
  }

  // Begin after this seq, unless something came before.
  begin(place, head) {
    if (this.last[place] < 0) this.last[place] = head;
  }

  // One durable event. Gives whether it is new.
  take(place, seq) {
    const last = this.last[place];
    if (seq === last + 1 || last < 0) {
      this.last[place] = seq;
      return true;
    }
    if (seq > last) {
      for (let missing = last + 1; missing < seq; missing++) this.miss(place, missing);
      this.last[place] = seq;
      return true;
    }
    if (this.holes !== null && this.holes.delete(`${place}:${seq}`)) {
      const repaired = this.replayed !== null && seq <= this.replayed[place];
      this.tally.count(repaired ? "filled" : "out_of_order");
      return true;
    }
    if (this.replayed === null || seq > this.replayed[place]) this.tally.count("doubled");
    return false;
  }

  // The server says that everything up to here is too old to be replayed: it is in the history, and
  // a client knows that it has to read it there.
  excuse(place, to) {
    if (this.last[place] < to) this.last[place] = to;
    if (this.holes === null) return;
    for (const hole of this.holes) {
      const [at, seq] = hole.split(":").map(Number);
      if (at === place && seq <= to) this.holes.delete(hole);
    }
  }

  miss(place, seq) {
    if (this.holes === null) this.holes = new Set();
    this.holes.add(`${place}:${seq}`);
    this.tally.count("holes");
  }

  // From where a resume has to replay: before the oldest hole.
  since(place) {
    let since = this.last[place];
    if (since < 0) return undefined;
    if (this.holes !== null) {
      for (const hole of this.holes) {
        const [at, seq] = hole.split(":").map(Number);
        if (at === place && seq - 1 < since) since = seq - 1;
      }
    }
    if (since < this.last[place]) {
      if (this.replayed === null) this.replayed = [-1, -1, -1];
      this.replayed[place] = this.last[place];
    }
    return since;
  }

  missing() {
    return this.holes === null ? 0 : this.holes.size;
  }
}
