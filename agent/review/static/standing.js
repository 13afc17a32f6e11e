// How this person's labels stand beside the machine's and others': quiet, and asked for only now and then.

const $ = (id) => document.getElementById(id);
const ACTS = 10;
const EVERY_MS = 30_000;
const FEWEST = 10; // texts, below which a share says little

const percent = (share) => `${Math.round(100 * share)}\u00a0%`;

export class Standing {
  constructor(wire) {
    this.wire = wire;
    this.acts = ACTS; // since it was asked last: at first it is not known
    this.asking = false;
    setInterval(() => this.acts > 0 && this.ask(), EVERY_MS);
  }

  /** Something was done, and the server has it. */
  acted() {
    this.acts += 1;
    if (this.acts >= ACTS) this.ask();
  }

  async ask() {
    if (this.asking || document.visibilityState !== "visible") return;
    this.asking = true;
    this.acts = 0;
    try {
      this.say(await this.wire.standing());
    } catch {
      // it is no trouble: what was said before stays, and is asked for again later
    } finally {
      this.asking = false;
    }
  }

  say({ seen, blind, accepted, people }) {
    const parts = [];
    const add = (share, words, more) => {
      if (share === null || share.items < FEWEST) return;
      parts.push([words(share), `${more} ${percent(share.lo)} to ${percent(share.hi)}, from ${share.items} texts.`]);
    };
    add(seen, (s) => `${percent(s.value)} as the machine`, "How often you said what the machine suggested:");
    add(blind, (s) => `${percent(s.value)} blind`, "How often you said what the machine had said, without seeing it:");
    add(accepted, (s) => `${percent(s.value)} right`, "Accepted labels that are right, by what people said blind:");
    add(people, (s) => `${percent(s.value)} agreed`, "Texts of which all who labelled them said the same:");
    const box = $("standing");
    box.hidden = parts.length === 0;
    box.textContent = parts.map(([words]) => words).join(" · ");
    box.title = parts.map(([, told]) => told).join("\n");
    $("standing-words").hidden = parts.length === 0;
    $("standing-words").textContent = parts.map(([, told]) => told).join(" ");
  }
}
