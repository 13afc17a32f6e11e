// What is left, done and skipped, how fast it goes, and the time a person looked at an item.

const $ = (id) => document.getElementById(id);
const REMEMBERED = 20; // laps that the pace is taken from
const LONGEST_S = 600; // an item left open over lunch did not take an hour of work

class Figures {
  constructor() {
    this.left = null; // as the server counted last; what is on its way comes on top
    this.done = 0;
    this.skipped = 0;
    this.minutes = null; // used, and of how many; null where there is no end to them
    this.newest = null; // the id of the newest thing done, which undo takes back
    this.acts = [];
    this.laps = [];
  }

  /** The server's count, and the acts that it has not counted yet. */
  heard(counted, acts) {
    Object.assign(this, counted);
    this.waiting(acts);
  }

  waiting(acts) {
    this.acts = acts;
    this.say();
  }

  lapped(seconds) {
    this.laps = [...this.laps, seconds].slice(-REMEMBERED);
  }

  say() {
    if (this.left === null) return;
    const acts = this.acts.filter((act) => act.body.instead === undefined); // the others change no count
    const left = Math.max(0, this.left - acts.length);
    const done = this.done + acts.filter((act) => act.path === "/api/label").length;
    $("left").textContent = left.toLocaleString("en");
    $("done").textContent = done.toLocaleString("en");
    $("skipped").textContent = this.skipped.toLocaleString("en");
    $("skipped-figure").hidden = this.skipped === 0;
    const all = done + left + this.skipped;
    const share = all > 0 ? Math.round((100 * done) / all) : 0;
    this.sayMinutes();
    $("progress").setAttribute("aria-valuenow", String(share));
    $("progress").firstElementChild.style.width = `${share}%`;
    document.title = document.title.replace(/^(\(\d+\) )?/, left > 0 ? `(${left}) ` : "");
    this.sayPace(left);
  }

  /** The people's minutes are used up: nothing more is offered. */
  get isOver() {
    return this.minutes !== null && this.minutes.used >= this.minutes.of;
  }

  /** "12 of 60 minutes used", or nothing where there is no end to them. */
  get minutesUsed() {
    if (this.minutes === null) return "";
    const used = this.minutes.used < 10 ? Math.floor(10 * this.minutes.used) / 10 : Math.floor(this.minutes.used);
    return `${used.toLocaleString("en")} of ${this.minutes.of.toLocaleString("en")} minutes used`;
  }

  sayMinutes() {
    $("minutes").hidden = this.minutes === null;
    $("minutes").textContent = this.minutesUsed;
    $("minutes").classList.toggle("over", this.isOver);
  }

  sayPace(left) {
    const box = $("pace");
    box.hidden = this.laps.length < 3;
    if (box.hidden) return;
    const middle = [...this.laps].sort((a, b) => a - b)[this.laps.length >> 1];
    const each = middle < 10 ? middle.toFixed(1) : Math.round(middle);
    const minutes = Math.round((middle * left) / 60);
    const rest = left === 0 ? "" : minutes < 1 ? ", under a minute left" : `, about ${minutes} min left`;
    box.textContent = `${each} s each${rest}`;
  }
}

export const figures = new Figures();

/** Seconds that an item was on a visible page. */
export class Clock {
  constructor() {
    this.start();
    document.addEventListener("visibilitychange", () => this.turn());
  }

  start() {
    this.spent = 0;
    this.since = document.visibilityState === "visible" ? performance.now() : null;
  }

  turn() {
    if (this.since !== null) this.spent += performance.now() - this.since;
    this.since = document.visibilityState === "visible" ? performance.now() : null;
  }

  lap() {
    this.turn();
    return Math.min(LONGEST_S, Math.round(this.spent / 10) / 100);
  }
}
