// Shows one item: its text, why it is here and what the machine said. Text goes in as text, never as markup.

const $ = (id) => document.getElementById(id);

// Characters that a reader cannot see but that change what is read: controls, and overrides of the writing direction.
// They are shown as small marks and lose their effect, so that the eye sees what the models read.
const HIDDEN = /([\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202d\u202e])\1*/g;
const NAMES = { "\u0000": "NUL", "\u202d": "LRO", "\u202e": "RLO", "\u001b": "ESC", "\u007f": "DEL" };
const MOST_MARKS = 500;

/** Put `text` into `element`, hidden characters as marks. */
export function putText(element, text) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(HIDDEN)) {
    if (parts.length > 2 * MOST_MARKS) break;
    parts.push(text.slice(from, found.index), mark(found[0]));
    from = found.index + found[0].length;
  }
  parts.push(text.slice(from));
  element.replaceChildren(...parts);
}

function mark(run) {
  const code = run.codePointAt(0);
  const point = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  const name = NAMES[run[0]] ?? point;
  return made("span", "hidden-mark", run.length > 1 ? `${name}×${run.length}` : name, { title: `hidden character ${point}` });
}

/** An element with a class, a text and attributes. */
export function made(tag, className, text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** A name of a label or a person: kept apart from the sentence around it, whatever direction it is written in. */
export function named(text, tag = "b") {
  const outer = document.createElement(tag);
  const inner = document.createElement("bdi");
  putText(inner, text);
  outer.append(inner);
  return outer;
}

export const percent = (p) => (p > 0 && p < 0.005 ? "<1 %" : p < 1 && p > 0.995 ? ">99 %" : `${Math.round(100 * p)} %`);

export class Card {
  constructor(wire, fail) {
    this.wire = wire;
    this.fail = fail; // called with a Refusal where the rest of a long text cannot be had
    this.folded = false;
    $("unfold").addEventListener("click", () => this.toggle());
  }

  show(item) {
    this.item = item;
    putText($("text"), item.text);
    this.showWhy(item);
    this.showSaid(item);
    this.fold();
    $("reading").classList.remove("arriving");
    void $("reading").offsetWidth; // begin the animation again
    $("reading").classList.add("arriving");
  }

  showWhy(item) {
    $("badge").textContent = item.badge;
    $("badge").className = `badge${item.blind ? " blind" : ""}`;
    putText($("reason"), item.reason);
    const picked = $("picked");
    putText(picked, item.picked ?? "");
    picked.hidden = !item.picked;
  }

  showSaid(item) {
    const said = $("said");
    const machine = item.suggestion;
    if (item.blind) {
      said.replaceChildren("Your label");
    } else if (!machine) {
      said.replaceChildren("The machine gave no answer.");
    } else {
      const who = made("bdi", "by", machine.by || machine.source);
      said.replaceChildren(who, " says ", named(machine.shown));
      if (machine.confidence !== null) said.append(made("span", "sure", `${percent(machine.confidence)} sure`));
    }
  }

  /** Fold what would push the labels off the screen. */
  fold() {
    const box = $("text");
    box.classList.add("folded");
    const long = box.scrollHeight > box.clientHeight + 40 || this.item.length > this.item.text.length;
    this.folded = long;
    box.classList.toggle("folded", long);
    $("unfold").hidden = !long;
    this.sayFold();
  }

  sayFold() {
    const size = this.item.length.toLocaleString("en");
    $("unfold").textContent = this.folded ? `Show all ${size} characters` : "Show less";
    $("unfold").setAttribute("aria-expanded", String(!this.folded));
  }

  async toggle() {
    if ($("unfold").hidden) return;
    const item = this.item;
    if (this.folded && item.length > item.text.length) {
      try {
        item.text = (await this.wire.text(item.id)).text;
      } catch (refusal) {
        this.fail(refusal);
        return;
      }
      item.length = item.text.length; // counted in UTF-16 here, in code points by the server
      if (item !== this.item) return;
      putText($("text"), item.text);
    }
    this.folded = !this.folded;
    $("text").classList.toggle("folded", this.folded);
    this.sayFold();
  }
}
