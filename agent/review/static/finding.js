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
    this.checked = null; // the check that is going on: its sample, what it was drawn from, and the filter before it
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
    const asked = this.checked?.asked ?? this.only;
    for (const field of this.fields) {
      const value = asked[field.dataset.asks];
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

  /** Show just what is to be checked of a bulk; `asked` is the filter that it was drawn by, null where that stays. */
  check({ bulk, sample, population }, asked) {
    const { asked: before } = this.checked ?? {};
    this.put({ bulk: String(bulk) }, { sample, population, asked: asked ?? before ?? {} });
  }

  put(only, checked = null) {
    this.only = only;
    this.checked = checked;
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
    const count = this.matching === null ? "" : this.matching.toLocaleString("en");
    const isCheck = this.checked !== null;
    $("accept-all-words").textContent = isCheck ? "How it stands" : "Accept all";
    if (isCheck) {
      const { sample, population, asked } = this.checked;
      const all = population.toLocaleString("en");
      $("filtered-words").replaceChildren(`Check of ${sample.toLocaleString("en")} from ${all}: `, ...this.words(asked));
      $("filtered-count").textContent = count && `${count} left`;
      return;
    }
    $("filtered-words").replaceChildren("Only ", ...this.words(this.only));
    $("filtered-count").textContent = count && `${count}${this.matching >= this.counted ? " or more" : ""} match`;
  }

  /** What is asked for, in words. */
  words(only) {
    const { words, label, round, from, to, person } = only;
    const percent = (share) => `${Math.round(100 * share)} %`;
    const parts = [];
    if (words) parts.push(["with ", named(words, "q")]);
    if (label) parts.push(["suggested ", named(label)]);
    if (from || to) parts.push([`${percent(from ?? 0)}–${percent(to ?? 1)} sure`]);
    if (round) parts.push([`of round ${round}`]);
    if (person) parts.push(["labelled by ", named(person)]);
    if (only.disagree) parts.push(["where student and oracle disagree"]);
    if (only.flagged) parts.push(["flagged"]);
    if (only.skipped) parts.push(["skipped"]);
    return parts.flatMap((part, at) => (at > 0 ? [", ", ...part] : part));
  }
}
