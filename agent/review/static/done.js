// What this person did, newest first: shown again to be labelled anew, or taken back one by one.

import { made, named, putText } from "./card.js";

const $ = (id) => document.getElementById(id);
const when = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", hour: "numeric", minute: "2-digit" });

export class Done {
  /** `page` has again(item, was) and takeBack(act), which resolves to whether it was taken back. */
  constructor(wire, page) {
    this.wire = wire;
    this.page = page;
    this.dialog = $("done-panel");
    this.oldest = null;
    $("done-more").addEventListener("click", () => this.load());
    $("done-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("keydown", (event) => {
      if (event.key !== "b" || event.ctrlKey || event.metaKey || event.altKey) return;
      event.stopPropagation(); // or the page would open it again
      this.dialog.close();
    });
  }

  /** Open it at once, so that no key goes to what is below; list what there is once `ready` is over. */
  async open(ready) {
    if (this.dialog.open) return;
    this.oldest = null;
    $("done-list").replaceChildren();
    this.complain("");
    this.sayNothing("");
    $("done-more").hidden = true;
    this.dialog.showModal();
    await ready;
    await this.load();
  }

  async load() {
    const from = $("done-list").children.length;
    let got;
    try {
      got = await this.wire.done(this.oldest);
    } catch (refusal) {
      this.complain(refusal.message);
      return;
    }
    this.complain("");
    this.oldest = got.acts.at(-1)?.act ?? this.oldest;
    $("done-list").append(...got.acts.map((act) => this.line(act)));
    $("done-more").hidden = !got.more;
    this.sayNothing("Nothing yet: what you label, skip or flag is listed here.");
    $("done-list").children[from]?.querySelector("button").focus();
  }

  line(act) {
    const line = document.createElement("li");
    const show = made("button", "again", "", { type: "button" });
    const opening = made("bdi", "opening");
    putText(opening, act.opening || "(an empty text)");
    const below = made("span", "below");
    below.append(named(act.given), made("time", "", when.format(new Date(act.at)), { datetime: act.at }));
    show.append(opening, below);
    if (act.note) {
      const note = made("bdi", "note");
      putText(note, act.note);
      show.append(note);
    }
    show.addEventListener("click", () => this.show(act));
    const back = made("button", "back", "Take back", { type: "button" });
    back.setAttribute("aria-label", `Take back ${act.given}: ${act.opening.slice(0, 60)}`);
    back.addEventListener("click", () => this.takeBack(act, line, back));
    line.append(show, back);
    return line;
  }

  async show(act) {
    let got;
    try {
      got = await this.wire.doneItem(act.act);
    } catch (refusal) {
      this.complain(refusal.message);
      return;
    }
    this.dialog.close();
    this.page.again(got.item, got.was);
  }

  async takeBack(act, line, button) {
    button.disabled = true;
    try {
      await this.page.takeBack(act.act);
    } catch (refusal) {
      button.disabled = false;
      this.complain(refusal.message);
      return;
    }
    this.complain("");
    const next = line.nextElementSibling ?? line.previousElementSibling;
    line.remove();
    this.sayNothing("Nothing is left to take back.");
    (next?.querySelector("button.back") ?? $("done-close")).focus();
  }

  complain(words) {
    $("done-problem").hidden = !words;
    putText($("done-problem"), words);
  }

  sayNothing(words) {
    const empty = $("done-list").children.length === 0 && $("done-more").hidden;
    $("done-nothing").hidden = !empty || !words;
    $("done-nothing").textContent = words;
  }
}
