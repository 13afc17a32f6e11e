// The answer to a question: one piece of the context. What is selected is the answer, by dragging or with the arrow keys.

import { Spans } from "./spans.js";

const $ = (id) => document.getElementById(id);
const ANSWER = "answer";
const HOW = "Select the answer first: drag over it, or use ← and →, with Shift for more words.";

export class Quoting extends Spans {
  /** `settings.none` says whether there may be no answer. */
  constructor(settings, on) {
    super({ ...settings, labels: [{ name: ANSWER, about: "" }] }, on);
    this.mayBeNone = settings.none;
    $("none")?.addEventListener("click", () => !this.on.isBusy() && this.none());
  }

  read(said) {
    return JSON.parse(said)
      .slice(0, 1)
      .map((answer) => ({ ...answer, label: ANSWER }));
  }

  dragged() {
    const before = this.cursor;
    super.dragged();
    if (this.cursor !== before && this.cursor !== null) this.take();
  }

  /** From the answer on, where there is one. */
  step(by, more) {
    const [answer] = this.spans;
    if (this.cursor === null && answer && answer.end < this.units.length) {
      this.cursor = [this.units[answer.start], this.units[answer.end]];
    }
    super.step(by, more);
    if (this.cursor !== null) this.take();
  }

  /** What is selected is the answer. It stays selected, so that more can be added. */
  take() {
    const [start, end] = this.cursor.map((unit) => this.points.get(unit));
    this.spans = [{ start, end, label: ANSWER, text: this.shown.slice(...this.cursor) }];
    this.on.hint("");
    this.lay();
    this.paint();
    this.on.changed();
  }

  none() {
    if (!this.mayBeNone) {
      this.on.hint("Every question of this job has an answer. Skip or flag one that has none.");
      return;
    }
    this.spans = [];
    this.on.pick("[]");
  }

  /** Enter without an answer, where there has to be one. */
  refuses() {
    if (this.mayBeNone || this.spans.length > 0) return false;
    this.on.hint(HOW);
    return true;
  }

  value() {
    return JSON.stringify(this.spans.map(({ start, end, text }) => ({ start, end, text })));
  }

  said() {
    return this.spans[0]?.text ?? "no answer";
  }

  key(event) {
    if (event.key === "n") {
      if (!event.repeat) this.none();
      return true;
    }
    if (event.key === "Backspace" || event.key === "Delete") {
      if (this.spans.length > 0) this.remove(0);
      return true;
    }
    return ["ArrowLeft", "ArrowRight", "Escape"].includes(event.key) && super.key(event);
  }
}
