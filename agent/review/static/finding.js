// The filter: which of the texts that wait are wanted, said in a dialog, in a line above the text, and to the server.

import { named } from "./card.js";

const $ = (id) => document.getElementById(id);

export class Finding {
  /** `changed()` is called when another filter is on. */
  constructor(settings, changed) {
    this.counted = settings.counted;
    this.changed = changed;
    this.dialog = $("finding");
    this.only = {}; // what the server is asked for
    this.matching = null;
    const names = settings.labels.map((label) => {
      const option = document.createElement("option");
      option.value = option.textContent = label.name;
      return option;
    });
    $("find-label").append(...names);
    $("find-label").closest(".ask").hidden = names.length === 0;
    $("find").addEventListener("click", () => this.take());
    $("find-cancel").addEventListener("click", () => this.dialog.close());
    $("find-clear").addEventListener("click", () => this.clear());
    $("filtered-clear").addEventListener("click", () => this.clear());
    this.dialog.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing || event.target.closest("button")) return;
      event.preventDefault();
      this.take();
    });
  }

  get isOn() {
    return Object.keys(this.only).length > 0;
  }

  get fields() {
    return [...this.dialog.querySelectorAll("[data-asks]")];
  }

  open() {
    for (const field of this.fields) {
      const value = this.only[field.dataset.asks];
      if (field.type === "checkbox") field.checked = value === "1";
      else field.value = field.dataset.percent !== undefined && value ? Math.round(100 * value) : (value ?? "");
    }
    this.say("");
    this.dialog.showModal();
    $("find-words").focus();
    $("find-words").select();
  }

  take() {
    const only = {};
    for (const field of this.fields) {
      if (!field.checkValidity()) {
        this.say(field.dataset.wrong);
        field.focus();
        return;
      }
      const value = field.type === "checkbox" ? (field.checked ? "1" : "") : field.value.trim();
      if (value) only[field.dataset.asks] = field.dataset.percent === undefined ? value : String(value / 100);
    }
    if (Number(only.from ?? 0) > Number(only.to ?? 1)) {
      this.say("No confidence is that high and that low at once.");
      return;
    }
    this.dialog.close();
    this.put(only);
  }

  clear() {
    this.dialog.close();
    if (this.isOn) this.put({});
  }

  put(only) {
    this.only = only;
    this.matching = null;
    this.show();
    this.changed();
  }

  say(words) {
    $("find-problem").hidden = !words;
    $("find-problem").textContent = words;
  }

  /** The server counted so many. */
  heard(matching) {
    if (!this.isOn) return;
    this.matching = matching;
    this.show();
  }

  show() {
    $("filtered").hidden = !this.isOn;
    $("open-find").classList.toggle("on", this.isOn);
    if (!this.isOn) return;
    $("filtered-words").replaceChildren("Only ", ...this.words());
    const count = this.matching === null ? "" : this.matching.toLocaleString("en");
    $("filtered-count").textContent = count && `${count}${this.matching >= this.counted ? " or more" : ""} match`;
  }

  /** What is asked for, in words. */
  words() {
    const { words, label, round, from, to, person } = this.only;
    const percent = (share) => `${Math.round(100 * share)} %`;
    const parts = [];
    if (words) parts.push(["with ", named(words, "q")]);
    if (label) parts.push(["suggested ", named(label)]);
    if (from || to) parts.push([`${percent(from ?? 0)}–${percent(to ?? 1)} sure`]);
    if (round) parts.push([`of round ${round}`]);
    if (person) parts.push(["labelled by ", named(person)]);
    if (this.only.disagree) parts.push(["where student and oracle disagree"]);
    if (this.only.flagged) parts.push(["flagged"]);
    if (this.only.skipped) parts.push(["skipped"]);
    return parts.flatMap((part, at) => (at > 0 ? [", ", ...part] : part));
  }
}
