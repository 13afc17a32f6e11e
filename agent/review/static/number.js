// A number on a scale: a field and a slider that say the same, digits where each grade is one, arrows for steps.

import { made } from "./card.js";

const DIGITS = 10; // behind the point: three steps of 0.1 are 0.3
const TICKS = 11; // grades that are written below the slider, at most

const plain = (number) => String(Number(number.toFixed(DIGITS)));

export class Numbers {
  /** `on` has accept(), changed(), isBusy() and hint(what). */
  constructor(settings, on) {
    this.scale = settings.scale;
    this.on = on;
    this.field = document.getElementById("number");
    this.slider = document.getElementById("slider");
    this.keys = this.scale.grades.length > 1 && this.scale.grades.every((grade) => /^[0-9]$/.test(grade));
    this.lay();
    this.field.addEventListener("input", () => {
      this.on.hint(null);
      this.typed();
    });
    this.slider.addEventListener("input", () => this.choose(this.slider.value));
    this.slider.addEventListener("pointerup", () => this.choose(this.slider.value)); // where it was not moved
    document.getElementById("grades").addEventListener("click", (event) => {
      const hit = event.target.closest("[data-grade]");
      if (hit && !this.on.isBusy()) this.choose(hit.dataset.grade);
    });
  }

  lay() {
    const { low, high, grades } = this.scale;
    if (grades.length > TICKS) return;
    const shown = grades.length > 0 ? grades : [low, high].map(plain);
    document.getElementById("grades").replaceChildren(
      ...shown.map((grade) => {
        const attributes = { type: "button", tabindex: "-1", "data-grade": grade };
        if (this.keys) attributes["aria-keyshortcuts"] = grade;
        return made("button", "grade", grade, attributes);
      }),
    );
  }

  /** `was` is what a person had given before an undo; a machine's number is where it begins. */
  show(item, was = null) {
    this.suggested = item.suggestion?.value ?? null;
    this.put(was?.[0] ?? this.suggested ?? "");
  }

  /** A person's own number. */
  choose(said) {
    this.on.hint(null);
    this.put(said);
  }

  put(said) {
    this.field.value = said;
    this.typed();
  }

  typed() {
    const number = this.number();
    const { low, high } = this.scale;
    this.slider.value = String(number ?? (low + high) / 2);
    this.slider.classList.toggle("unset", number === null);
    this.slider.setAttribute("aria-valuetext", number === null ? "no number yet" : this.spoken(number));
    for (const tick of document.querySelectorAll("#grades .grade")) {
      tick.classList.toggle("on", number !== null && Number(tick.dataset.grade) === number);
      tick.classList.toggle("suggested", this.suggested !== null && tick.dataset.grade === this.suggested);
    }
    for (const meaning of document.querySelectorAll("#meanings > div")) {
      meaning.classList.toggle("on", number !== null && meaning.dataset.number === plain(number));
    }
    this.on.changed();
  }

  /** A number, and what it means. */
  spoken(number) {
    const words = plain(number);
    return Object.hasOwn(this.scale.meanings, words) ? `${words}: ${this.scale.meanings[words]}` : words;
  }

  /** What stands in the field as a number of the scale, on its steps; null where it is none. */
  number() {
    const typed = this.field.value.trim();
    const { low, high, step } = this.scale;
    const number = Number(typed);
    if (typed === "" || !(number >= low && number <= high)) return null;
    if (step === null) return number;
    return Number(plain(Math.min(high, low + step * Math.floor((number - low) / step + 0.5 + 1e-9))));
  }

  value() {
    const number = this.number();
    return number === null ? null : plain(number);
  }

  /** Why there is no value. */
  missing() {
    const { low, high } = this.scale;
    const ends = `from ${plain(low)} to ${plain(high)}`;
    return this.field.value.trim() === "" && !this.field.validity.badInput
      ? `Choose a number ${ends} first.`
      : `A number ${ends} is needed.`;
  }

  move(steps) {
    const { low, high, step } = this.scale;
    const from = this.number() ?? (steps > 0 ? low - (step ?? 0) : high + (step ?? 0));
    const to = from + steps * (step ?? (high - low) / 20);
    this.choose(plain(Math.min(high, Math.max(low, to))));
  }

  /** A key pressed outside of any field. True where it was ours. */
  key(event) {
    if (this.digit(event)) return true;
    if (/^[0-9.-]$/.test(event.key)) {
      this.field.value = "";
      this.field.focus();
      return false; // it is typed there
    }
    const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (!step) return false;
    this.move(step);
    return true;
  }

  /** A digit that is a grade. */
  digit(event) {
    const digit = /^[0-9]$/.test(event.key) ? event.key : /^Digit([0-9])$/.exec(event.code)?.[1];
    if (!this.keys || digit === undefined) return false;
    if (this.scale.grades.includes(digit) && !event.repeat) this.choose(digit);
    return true;
  }

  /** A key pressed in the field or on the slider. True where it was ours. */
  fieldKey(event, field) {
    if (event.key === "Enter") {
      if (!event.repeat) this.on.accept();
    } else if (event.key === "Escape") {
      field.blur();
      document.getElementById("reading").focus({ preventScroll: true });
    } else {
      return field === this.slider && this.digit(event);
    }
    return true;
  }

  owns(field) {
    return field === this.field || field === this.slider;
  }
}
