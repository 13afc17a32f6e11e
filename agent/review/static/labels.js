// The labels of one item: a few as buttons with number keys, many as a list with a filter; one choice or several.

import { made, percent, putName, putText } from "./card.js";

const KEYS = "1234567890";
const LIKELY = 5; // of many labels, this many of the likeliest stand first
const plain = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replace(/[_\-/]+/g, " ");

/** How well a label fits what was typed, lower is better; null where it does not. */
export function fit(label, typed) {
  const wanted = plain(typed).trim();
  const name = plain(label.name);
  if (name.startsWith(wanted)) return 0;
  if (name.includes(` ${wanted}`)) return 1;
  if (name.includes(wanted)) return 2;
  if (wanted.split(/\s+/).every((word) => name.includes(word))) return 3;
  return plain(label.about).includes(wanted) ? 4 : null;
}

export class Labels {
  /** `on` has pick(name) for one choice, and save() and changed() for several. */
  constructor(settings, on) {
    this.all = settings.labels;
    this.several = settings.widget === "multiple";
    this.on = on;
    this.box = document.getElementById("labels");
    this.filter = document.getElementById("filter");
    this.many = this.filter !== null;
    this.picked = new Set();
    this.active = -1;
    this.filter?.addEventListener("input", () => this.lay(this.filter.value.trim() ? 0 : -1));
    this.box.addEventListener("click", (event) => {
      const hit = event.target.closest(".label");
      if (hit && !this.on.isBusy()) this.take(hit.dataset.name);
    });
  }

  /** `was` is what a person had given before an undo. */
  show(item, was = null) {
    this.item = item;
    this.was = was;
    const start = was ?? (this.several ? item.suggestion?.value : null) ?? [];
    this.picked = new Set(this.several ? start : []);
    if (this.filter) this.filter.value = "";
    this.box.scrollTop = 0;
    this.lay(-1);
  }

  /** The labels to show, in order: what fits the filter, else the likeliest of many first, else the job's order. */
  order() {
    this.first = 0;
    const typed = this.filter?.value.trim();
    if (typed) {
      return this.all
        .map((label) => ({ label, rank: fit(label, typed) }))
        .filter((found) => found.rank !== null)
        .sort((a, b) => a.rank - b.rank) // stable: the job's order within a rank
        .map((found) => found.label);
    }
    if (!this.many || !this.item.suggestion?.probabilities) return this.all;
    const p = (label) => this.probability(label.name) ?? 0;
    const first = this.all
      .filter((label) => p(label) >= 0.01 || label.name === this.item.suggestion.value)
      .sort((a, b) => p(b) - p(a))
      .slice(0, LIKELY);
    this.first = first.length;
    return [...first, ...this.all.filter((label) => !first.includes(label))];
  }

  lay(active) {
    this.shown = this.order();
    this.active = Math.min(active, this.shown.length - 1);
    this.buttons = this.shown.map((label, at) => this.button(label, at));
    this.box.replaceChildren(...this.grouped());
    document.getElementById("nothing").hidden = this.shown.length > 0;
    this.mark();
  }

  /** The group that a label is shown in: what was found by typing, and the likeliest of many, stand in none. */
  groupOf(label, at) {
    return this.filter?.value.trim() || at < this.first ? null : (label.group ?? "");
  }

  /** The buttons, each group of labels that are paths below its name. */
  grouped() {
    let group = null;
    return this.buttons.flatMap((button, at) => {
      const own = this.groupOf(this.shown[at], at);
      const isNew = own !== group && (own || group);
      group = own;
      if (!isNew) return [button];
      const head = made("p", "group", "", { role: "presentation" });
      putName(head, own);
      return [head, button];
    });
  }

  button(label, at) {
    const attributes = { type: "button", id: `label-${at}` };
    if (this.many) Object.assign(attributes, { role: "option", tabindex: "-1" });
    const button = made("button", "label", "", attributes);
    button.dataset.name = label.name;
    const key = KEYS[at];
    if (key) button.setAttribute("aria-keyshortcuts", key);
    const name = made("bdi", "name");
    if (this.groupOf(label, at)) {
      button.setAttribute("aria-label", label.name);
      button.classList.add("inside");
      putName(name, label.short);
    } else {
      putName(name, label.name);
    }
    button.append(made("kbd", "cap", key ?? "", { "aria-hidden": "true" }), name);
    if (label.about) {
      const about = made("span", "about", "", { dir: "auto" });
      putText(about, label.about);
      button.append(about);
    }
    this.addProbability(button, label.name);
    return button;
  }

  /** Null where the machine gave none; a label may be called `constructor`, which every object has. */
  probability(name) {
    const p = this.item.suggestion?.probabilities ?? {};
    return Object.hasOwn(p, name) ? p[name] : null;
  }

  addProbability(button, name) {
    const p = this.probability(name);
    if (p === null) return;
    const bar = made("span", "bar", "", { "aria-hidden": "true" });
    bar.append(made("i", ""));
    bar.firstChild.style.width = `${Math.round(100 * p)}%`;
    button.append(made("span", "chance", percent(p)), bar);
  }

  /** Show which labels are suggested, on, had before, or under the arrow keys. */
  mark() {
    const value = this.item.suggestion?.value;
    const suggested = new Set(this.several ? (value ?? []) : value == null ? [] : [value]);
    const before = new Set(this.several ? [] : (this.was ?? []));
    for (const [at, button] of this.buttons.entries()) {
      const name = button.dataset.name;
      const on = this.picked.has(name);
      button.classList.toggle("suggested", suggested.has(name));
      button.classList.toggle("on", on);
      button.classList.toggle("before", before.has(name));
      button.classList.toggle("active", at === this.active);
      if (this.several) button.setAttribute(this.many ? "aria-selected" : "aria-pressed", String(on));
      else if (this.many) button.setAttribute("aria-selected", String(at === this.active));
    }
    if (!this.filter) return;
    if (this.active >= 0) this.filter.setAttribute("aria-activedescendant", `label-${this.active}`);
    else this.filter.removeAttribute("aria-activedescendant");
  }

  take(name) {
    if (!this.several) {
      this.on.pick(name);
      return;
    }
    if (!this.picked.delete(name)) this.picked.add(name);
    if (this.filter?.value) {
      this.filter.value = "";
      this.lay(-1);
    } else {
      this.mark();
    }
    this.on.changed();
  }

  /** The labels that are on, in the job's order. */
  value() {
    return this.all.map((label) => label.name).filter((name) => this.picked.has(name));
  }

  size() {
    return this.value().length;
  }

  /** A key pressed outside of any field. True where it was ours. */
  key(event) {
    const digit = /^[0-9]$/.test(event.key) ? event.key : /^Digit([0-9])$/.exec(event.code)?.[1];
    if (digit) {
      const label = this.shown[KEYS.indexOf(digit)];
      if (label && !event.repeat) this.take(label.name);
      return true;
    }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      if (this.many) this.focusFilter();
      this.move(event.key === "ArrowDown" ? 1 : -1);
      return true;
    }
    if (this.many && event.key === "/") {
      this.focusFilter();
      return true;
    }
    return false;
  }

  /** A key pressed in the filter. True where it was ours. */
  filterKey(event) {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") this.move(event.key === "ArrowDown" ? 1 : -1);
    else if (event.key === "Enter") this.enter(event);
    else if (event.key === "Escape") this.leave();
    else return false;
    return true;
  }

  enter(event) {
    if (event.repeat) return;
    if (this.active >= 0) this.take(this.shown[this.active].name);
    else if (!this.filter.value.trim()) this.on.accept();
  }

  leave() {
    if (this.filter.value) {
      this.filter.value = "";
      this.lay(-1);
    } else {
      this.filter.blur();
      document.getElementById("reading").focus({ preventScroll: true });
    }
  }

  focusFilter() {
    this.filter.focus();
    this.filter.select();
  }

  move(step) {
    const size = this.shown.length;
    if (size === 0) return;
    if (!this.many) {
      const at = this.buttons.indexOf(document.activeElement);
      this.buttons[at < 0 ? (step > 0 ? 0 : size - 1) : (at + step + size) % size].focus();
      return;
    }
    this.active = this.active < 0 ? (step > 0 ? 0 : size - 1) : (this.active + step + size) % size;
    this.mark();
    this.buttons[this.active].scrollIntoView({ block: "nearest" });
  }
}
