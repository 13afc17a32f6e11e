// Shows one item: its text, why it is here and what the machine said. Text goes in as text, never as markup.

const $ = (id) => document.getElementById(id);

// Characters that a reader cannot see but that change what is read: controls, and overrides of the writing direction.
// They are shown as small marks and lose their effect, so that the eye sees what the models read.
const HIDDEN = /([\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202d\u202e])\1*/g;
const NAMES = { "\u0000": "NUL", "\u202d": "LRO", "\u202e": "RLO", "\u001b": "ESC", "\u007f": "DEL" };
const MOST_MARKS = 500;
const STEP = 20_000; // characters more at a time

/** Put `text` into `element`, hidden characters as marks. `places` are those that no oracle saw: [from, to, what it
 * saw there], in order. */
export function putText(element, text, places = []) {
  const parts = [];
  let from = 0;
  for (const [start, end, placeholder] of places) {
    if (end > text.length) break;
    const place = made("mark", "unseen", "", { title: `the oracle saw ${placeholder} here` });
    place.append(...pieces(text.slice(start, end)));
    parts.push(...pieces(text.slice(from, start)), place);
    from = end;
  }
  element.replaceChildren(...parts, ...pieces(text.slice(from)));
}

function pieces(text) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(HIDDEN)) {
    if (parts.length > 2 * MOST_MARKS) {
      return [...parts, text.slice(from).replace(HIDDEN, "\ufffd")]; // as harmless, for less work
    }
    parts.push(text.slice(from, found.index), mark(found[0]));
    from = found.index + found[0].length;
  }
  parts.push(text.slice(from));
  return parts;
}

function mark(run) {
  const code = run.codePointAt(0);
  const point = `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  const name = NAMES[run[0]] ?? point;
  const words = run.length > 1 ? `${name}×${run.length}` : name;
  return made("span", "hidden-mark", words, { title: `hidden character ${point}`, "data-length": String(run.length) });
}

/** An element with a class, a text and attributes. */
export function made(tag, className, text = "", attributes = {}) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Put the name of a label into `element`, which may be broken after the marks that join its words. */
export function putName(element, name) {
  const parts = name.split(/(?<=[_/.:-])(?=.)/u).flatMap((part) => [document.createElement("wbr"), text(part)]);
  element.replaceChildren(...parts.slice(1));
}

function text(part) {
  const holder = document.createDocumentFragment();
  putText(holder, part);
  return holder;
}

/** A name of a label or a person: kept apart from the sentence around it, whatever direction it is written in. */
export function named(words, tag = "b") {
  const outer = document.createElement(tag);
  const inner = document.createElement("bdi");
  putName(inner, words);
  outer.append(inner);
  return outer;
}

/** A probability for reading: never 0 % of what is possible, never 100 % of what is not certain. */
export function percent(p) {
  if (p > 0 && p < 0.005) return "<1 %";
  if (p < 1 && p > 0.995) return ">99 %";
  return `${Math.round(100 * p)} %`;
}

/** What an item consists of: of a pair both texts, else the one. */
export const partsOf = (item) => item.parts ?? [item];

/** One text of a pair, below the name of its column. */
function block(part, words) {
  const box = made("section", "part");
  const name = made("h3", "part-name", "", { dir: "auto" });
  const body = made("div", "part-text", "", { dir: "auto" });
  putText(name, part.name);
  putText(body, words, part.places);
  box.append(name, body);
  return box;
}

export class Card {
  constructor(wire, fail, painted) {
    this.wire = wire;
    this.painted = painted; // called when another text, or more of it, is shown
    this.fail = fail; // called with a Refusal where the rest of a long text cannot be had
    this.folded = false;
    $("unfold").addEventListener("click", () => this.toggle());
  }

  show(item) {
    this.item = item;
    this.showWhy(item);
    this.showSaid(item);
    this.showPicture(item);
    this.fold();
    $("reading").classList.remove("arriving");
    void $("reading").offsetWidth; // begin the animation again
    $("reading").classList.add("arriving");
  }

  /** The picture beside the text, in an element of its own: one that was shown before stays until the next is there. */
  showPicture(item) {
    const box = $("picture");
    if (!box) return; // the job's texts come without
    box.replaceChildren();
    if (!item.picture) return;
    const image = made("img", "", "", { alt: item.picture });
    image.addEventListener("load", () => this.painted());
    image.addEventListener("error", () => {
      image.replaceWith(made("p", "no-picture", "The picture of this text is not there any more, or is another one."));
    });
    image.src = `/api/picture?id=${encodeURIComponent(JSON.stringify(item.id))}`;
    box.append(image);
  }

  showWhy(item) {
    putText($("badge"), item.badge);
    $("badge").className = `badge${item.blind ? " blind" : ""}`;
    putText($("reason"), item.reason);
    const picked = $("picked");
    putText(picked, item.picked ?? "");
    picked.hidden = !item.picked;
    this.showNotes(item.notes ?? []);
    const unseen = $("unseen");
    putText(unseen, item.unseen ?? "");
    unseen.hidden = !item.unseen;
  }

  /** What people wrote who flagged it, for a lead. */
  showNotes(notes) {
    const lines = notes.map(({ by, note }) => {
      const line = document.createElement("li");
      const words = made("bdi", "note");
      putText(words, note);
      line.append(named(by), " flagged it: ", words);
      return line;
    });
    $("flags").replaceChildren(...lines);
    $("flags").hidden = lines.length === 0;
  }

  showSaid(item) {
    const said = $("said");
    const machine = item.suggestion;
    if (item.blind || item.torn) {
      said.replaceChildren("Your label");
    } else if (!machine) {
      said.replaceChildren("The machine gave no answer.");
    } else {
      const who = made("bdi", "by");
      putText(who, machine.by || machine.source);
      said.replaceChildren(who, ...(machine.shown === null ? [" wrote this"] : [" says ", named(machine.shown)]));
      if (machine.confidence !== null) said.append(", ", made("span", "sure", `${percent(machine.confidence)} sure`));
    }
  }

  /** Fold what would push the labels off the screen. */
  fold() {
    const box = $("text");
    const texts = partsOf(this.item).map((part) => part.text);
    this.showing = Math.max(...texts.map((words) => words.length));
    this.put(texts);
    box.classList.add("folded");
    this.folded = box.scrollHeight > box.clientHeight + 40 || this.rest > 0;
    box.classList.toggle("folded", this.folded);
    $("unfold").hidden = !this.folded;
    this.sayFold();
  }

  /** Show of each of the item's texts what fits into `showing` characters. */
  put(texts) {
    const parts = partsOf(this.item);
    if (parts.length === 1) putText($("text"), texts[0].slice(0, this.showing), parts[0].places);
    else $("text").replaceChildren(...parts.map((part, at) => block(part, texts[at].slice(0, this.showing))));
    this.painted();
  }

  /** Characters that are not on the page. */
  get rest() {
    return partsOf(this.item).reduce((left, part) => left + Math.max(0, part.length - this.showing), 0);
  }

  sayFold() {
    const size = partsOf(this.item).reduce((sum, part) => sum + part.length, 0).toLocaleString("en");
    const rest = this.rest;
    $("unfold").textContent = this.folded
      ? `Show ${rest > STEP ? `more of ${size}` : `all ${size}`} characters`
      : rest > 0
        ? `Show more: ${rest.toLocaleString("en")} of ${size} characters are left`
        : "Show less";
    $("unfold").setAttribute("aria-expanded", String(!this.folded && rest <= 0));
  }

  async wholeTexts(id) {
    const { text, parts } = await this.wire.text(id);
    return parts ?? [text];
  }

  /** Unfold, a step at a time where the text is so long that a browser would stall on it; then fold again. */
  async toggle() {
    const item = this.item;
    if ($("unfold").hidden) return;
    if (!this.folded && this.rest <= 0) {
      this.fold();
      return;
    }
    if (this.rest > 0) {
      try {
        item.whole ??= await this.wholeTexts(item.id);
      } catch (refusal) {
        this.fail(refusal);
        return;
      }
      if (item !== this.item) return;
      this.showing += STEP;
      this.put(item.whole);
    }
    this.folded = false;
    $("text").classList.remove("folded");
    this.sayFold();
  }
}
