// Talks to the server: reads with fetch, and an outbox that sends answers one after another and loses none.

/** An answer of the server that is not a success, or no answer at all (status 0). */
export class Refusal extends Error {
  constructor(status, message, figures = null) {
    super(message);
    this.status = status;
    this.figures = figures; // what is left and done, where the server said so
  }
}

const PATIENCE_MS = 20_000;

export class Wire {
  constructor(settings) {
    this.token = settings.token;
    this.session = settings.session;
    this.writes = 0; // begun and ended: a read that began before one of them may tell of the time before
  }

  /** The next items; `only` is what a filter asks for, by its names. */
  async items(limit, again, only = {}) {
    const asked = new URLSearchParams({ limit, again: again ? 1 : 0, ...only });
    const got = await this.call(`/api/items?${asked}`);
    this.check(got.session);
    return got;
  }

  /** What this person did, newest first; `before` is the oldest act that is known already. */
  async done(before) {
    const got = await this.call(`/api/done${before === null ? "" : `?before=${before}`}`);
    this.check(got.session);
    return got;
  }

  doneItem(act) {
    return this.call(`/api/done/item?act=${act}`);
  }

  /** How what this person said stands beside what others did. */
  standing() {
    return this.call("/api/standing");
  }

  /** What accepting all that fits a filter at once would take. */
  bulk(only) {
    return this.call(`/api/bulk?${new URLSearchParams(only)}`);
  }

  /** Where the check of a bulk is. */
  bulkCheck(bulk) {
    return this.call(`/api/bulk/check?bulk=${bulk}`);
  }

  text(id) {
    return this.call(`/api/text?id=${encodeURIComponent(JSON.stringify(id))}`);
  }

  /** POST, once more with a new token where the server has been started again since. */
  async send(path, body, patience_ms = PATIENCE_MS) {
    this.writes += 1;
    try {
      return await this.post(path, body, patience_ms);
    } catch (refusal) {
      if (refusal.status !== 403) throw refusal;
      await this.renew();
      return await this.post(path, body, patience_ms);
    } finally {
      this.writes += 1;
    }
  }

  post(path, body, patience_ms) {
    return this.call(path, {
      method: "POST",
      signal: AbortSignal.timeout(patience_ms),
      headers: { "Content-Type": "application/json", "X-Labelwright-Token": this.token },
      body: JSON.stringify(body),
    });
  }

  /** The page is left: others may have what was fetched ahead. Outlives the page, and nobody waits for it. */
  letGo(ids) {
    if (ids.length === 0) return;
    const headers = { "Content-Type": "application/json", "X-Labelwright-Token": this.token };
    fetch("/api/let-go", { method: "POST", keepalive: true, headers, body: JSON.stringify({ ids }) }).catch(() => {});
  }

  /** A restarted server has another token. Answers go to it only where it serves the same job and person. */
  async renew() {
    const now = await this.call("/api/session");
    this.check(now.session);
    this.token = now.token;
  }

  check(session) {
    if (session === this.session) return;
    const way = "Nothing was sent to it; start the review of this job again to go on, or load the page anew.";
    throw new Refusal(410, `Another job or person is served here now. ${way}`);
  }

  async call(path, options = {}) {
    let response;
    try {
      response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS), ...options });
    } catch {
      throw new Refusal(0, "The server does not answer.");
    }
    let data = null;
    try {
      data = await response.json();
    } catch {
      if (response.ok) throw new Refusal(0, "The server's answer was cut off.");
    }
    if (!response.ok) {
      throw new Refusal(response.status, data?.error ?? `The server said ${response.status}.`, data?.figures);
    }
    return data;
  }
}

const PAUSES_S = [1, 2, 4, 8, 15];
const PASSING = new Set([0, 403, 408, 410, 429, 502, 503, 504]); // worth keeping the answer and trying again

/** Answers on their way, oldest first.
 *  `hear` has saved(act, reply), refused(act, refusal) and trouble(refusal, or null when it is over). */
export class Outbox {
  constructor(wire, hear) {
    this.wire = wire;
    this.hear = hear;
    this.acts = [];
    this.running = false;
    this.wake = null;
    this.idlers = [];
    this.inTrouble = false;
  }

  get size() {
    return this.acts.length;
  }

  add(act) {
    this.acts.push(act);
    if (!this.running) this.run();
  }

  /** Take back the newest act that was never sent; null where there is none. */
  takeBack() {
    const newest = this.acts.at(-1);
    return newest && !newest.tried ? this.acts.pop() : null;
  }

  tryNow() {
    this.wake?.();
  }

  /** Resolves to true when nothing is on its way, to false as soon as what is cannot be delivered for now. */
  idle() {
    return new Promise((resolve) => {
      if (!this.running || this.inTrouble) resolve(!this.running);
      else this.idlers.push(resolve);
    });
  }

  release(idle) {
    for (const resolve of this.idlers.splice(0)) resolve(idle);
  }

  async run() {
    this.running = true;
    for (let failures = 0; this.acts.length > 0; ) {
      const act = this.acts[0];
      act.tried = true;
      try {
        const reply = await this.wire.send(act.path, act.body);
        this.acts.shift();
        failures = 0;
        this.say(null);
        this.hear.saved(act, reply);
      } catch (refusal) {
        if (!(refusal instanceof Refusal)) throw refusal;
        if (PASSING.has(refusal.status)) {
          this.say(refusal);
          await this.pause(PAUSES_S[Math.min(failures++, PAUSES_S.length - 1)]);
        } else {
          this.acts.shift();
          this.say(null);
          this.hear.refused(act, refusal);
        }
      }
    }
    this.running = false;
    this.release(true);
  }

  say(refusal) {
    if (refusal || this.inTrouble) this.hear.trouble(refusal);
    this.inTrouble = refusal !== null;
    if (refusal) this.release(false);
  }

  pause(seconds) {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
