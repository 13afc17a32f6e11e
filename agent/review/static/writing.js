// The answer of a task whose label is a text: a box with what the machine wrote, to keep or to mend.

import { putText } from "./card.js";

const $ = (id) => document.getElementById(id);
const MOST_SAID = 60;

export class Writing {
  /** `on` has pick(value), changed() and hint(words). */
  constructor(on) {
    this.on = on;
    this.field = $("entry");
    this.field.addEventListener("input", () => {
      on.hint("");
      this.look();
    });
  }

  show(item, was = null) {
    this.machine = item.suggestion?.value ?? null;
    this.put(was?.[0] ?? this.machine ?? "");
  }

  put(text) {
    this.given = text;
    this.field.value = text;
    this.asShown = this.field.value; // a box has line breaks of its own: what nobody touched must not seem edited
    this.field.scrollTop = 0;
    this.look();
  }

  /** Say whether anything was changed, and show what a box hides: characters that nobody sees. */
  look() {
    const hidden = $("hidden-words");
    putText(hidden, this.value());
    hidden.hidden = hidden.querySelector(".hidden-mark") === null;
    $("kept").hidden = this.machine === null;
    $("kept").textContent = this.isKept ? "as the machine wrote it" : "changed by you";
    this.on.changed();
  }

  get isKept() {
    return this.machine !== null && this.value() === this.machine;
  }

  value() {
    return this.field.value === this.asShown ? this.given : this.field.value;
  }

  /** Why it cannot be saved; "" where it can. */
  get problem() {
    return this.value().trim() === "" ? "Nothing is written yet: write something (e), or skip it (s)." : "";
  }

  said() {
    const words = this.value().trim();
    return words.length > MOST_SAID ? `${words.slice(0, MOST_SAID)}…` : words;
  }

  /** A key pressed outside of any field. True where it was ours. */
  key(event) {
    if (event.key === "k") {
      if (this.machine === null) {
        this.on.hint("The machine's text is not shown here: write your own (e).");
        return true;
      }
      this.put(this.machine);
      this.on.pick(this.machine);
      return true;
    }
    if (event.key !== "e") return false;
    this.field.focus();
    return true;
  }
}
