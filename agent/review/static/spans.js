// Pieces of the text, each with a label: selected by dragging or with the arrow keys, painted in the text, and listed
// beside it. The text stays as it is; the server counts characters as code points, the browser in UTF-16 units.

import { made, partsOf, putName, putText } from "./card.js";
import { Labels } from "./labels.js";

const $ = (id) => document.getElementById(id);
const COLOURS = 8;
const CURSOR = "span-cursor";
const WORD = /[\p{L}\p{N}\p{M}]+|[^\s]/gu;
const MOST_WORDS = 5000;
const HOW = "Select a piece of the text first: drag over it, or use ← and →, with Shift for more words.";

export class Spans {
  /** `on` has accept(), changed(), isBusy() and hint(words). */
  constructor(settings, on) {
    this.on = on;
    const pick = (name) => this.put(name);
    this.labels = new Labels({ ...settings, widget: "choice" }, { ...on, pick });
    this.filter = this.labels.filter;
    this.types = settings.labels.map((label) => label.name);
    this.text = $("text");
    this.list = $("spans");
    this.spans = [];
    this.cursor = null; // [from, to] in units of the shown text
    // a click on a label must not take the selection away
    $("labels").addEventListener("mousedown", (event) => event.preventDefault());
    document.addEventListener("selectionchange", () => this.dragged());
    this.list.addEventListener("click", (event) => {
      const hit = event.target.closest("button");
      if (hit && !this.on.isBusy()) this.remove(Number(hit.dataset.at));
    });
  }

  /** `was` is what a person had given before an undo. */
  show(item, was = null) {
    this.item = item;
    this.spans = this.read(was?.[0] ?? item.suggestion?.value ?? "[]");
    this.cursor = null;
    this.labels.show({ suggestion: null });
    this.lay();
  }

  read(said) {
    return JSON.parse(said);
  }

  /** Another text, or more of it, is on the screen; of two texts the last one is marked. */
  painted() {
    this.text = [...$("text").querySelectorAll(".part-text")].at(-1) ?? $("text");
    const texts = this.item.whole ?? partsOf(this.item).map((part) => part.text);
    const shown = texts.at(-1).slice(0, this.length());
    this.shown = shown;
    this.units = [0];
    for (const point of shown) this.units.push(this.units.at(-1) + point.length);
    this.points = new Map(this.units.map((unit, point) => [unit, point]));
    this.words = [...shown.matchAll(WORD)].slice(0, MOST_WORDS).map((hit) => [hit.index, hit.index + hit[0].length]);
    this.paint();
  }

  length() {
    return this.places().at(-1)?.to ?? 0;
  }

  // The text as the browser has it ----------------------------------------------------------------------------------

  /** The nodes that hold the text, each with the units that it stands for. A hidden character is shown as a mark. */
  places() {
    const found = [];
    let at = 0;
    const walk = (node) => {
      const isMark = node.nodeType === Node.ELEMENT_NODE && node.classList.contains("hidden-mark");
      if (isMark || node.nodeType === Node.TEXT_NODE) {
        const size = isMark ? Number(node.dataset.length) : node.data.length;
        found.push({ node, isMark, from: at, to: at + size });
        at += size;
      } else {
        node.childNodes.forEach(walk);
      }
    };
    walk(this.text);
    return found;
  }

  range(from, to, places) {
    const range = document.createRange();
    const first = places.find((place) => from < place.to);
    const last = places.findLast((place) => place.from < to);
    if (!first || !last) return null;
    if (first.isMark) range.setStartBefore(first.node);
    else range.setStart(first.node, from - first.from);
    if (last.isMark) range.setEndAfter(last.node);
    else range.setEnd(last.node, to - last.from);
    return range;
  }

  /** Where in the text a point of a selection is; null where it is not in it. */
  unit(container, offset, places) {
    if (!this.text.contains(container)) return null;
    const own = places.find(({ node }) => node === container || node.contains(container));
    if (own && !own.isMark) return own.from + offset;
    if (own) return own.from;
    const next = container.childNodes[offset];
    const place = next && places.find(({ node }) => next === node || next.contains(node));
    return place ? place.from : (places.at(-1)?.to ?? 0);
  }

  // What is selected ------------------------------------------------------------------------------------------------

  /** Something was dragged over: whole words of it are selected. */
  dragged() {
    const selection = document.getSelection();
    if (!this.item || !selection || selection.isCollapsed || selection.rangeCount === 0) return;
    const { startContainer, startOffset, endContainer, endOffset } = selection.getRangeAt(0);
    const places = this.places();
    const from = this.unit(startContainer, startOffset, places);
    const to = this.unit(endContainer, endOffset, places);
    if (from === null || to === null) return;
    const touched = this.words.filter(([start, end]) => start < to && from < end);
    this.cursor = touched.length === 0 ? null : [touched[0][0], touched.at(-1)[1]];
    this.paint();
  }

  /** Select the next word, or one more. */
  step(by, more) {
    if (this.words.length === 0) return;
    const at = this.cursor ?? (by > 0 ? [-1, 0] : [this.shown.length, this.shown.length]);
    const next = this.words.find(([start]) => start >= at[1]);
    const before = this.words.findLast(([, end]) => end <= at[0]);
    const word = by > 0 ? (this.cursor === null ? this.words[0] : next) : before;
    if (!word) {
      // shrink where nothing is left on that side
    } else if (!more || this.cursor === null) {
      this.cursor = [...word];
    } else {
      this.cursor = by > 0 ? [at[0], word[1]] : [word[0], at[1]];
    }
    this.paint();
    const range = this.cursor && this.range(...this.cursor, this.places());
    range?.startContainer.parentElement?.scrollIntoView({ block: "nearest" });
    if (this.cursor) $("spoken").textContent = this.shown.slice(...this.cursor);
  }

  put(name) {
    if (this.cursor === null) {
      this.on.hint(HOW);
      return;
    }
    const [start, end] = this.cursor.map((unit) => this.points.get(unit));
    const rest = this.spans.filter((span) => span.end <= start || end <= span.start);
    const span = { start, end, label: name, text: this.shown.slice(...this.cursor) };
    this.change([...rest, span].sort((a, b) => a.start - b.start), `${span.text}: ${name}`);
  }

  remove(at) {
    const gone = this.spans[at];
    const wasHere = this.list.contains(document.activeElement);
    this.change(this.spans.filter((span) => span !== gone), `${gone.text}: no label`);
    const near = wasHere && this.list.children[Math.min(at, this.spans.length - 1)]?.firstChild;
    (near || $("reading")).focus({ preventScroll: true });
  }

  change(spans, words) {
    this.spans = spans;
    this.cursor = null;
    document.getSelection()?.removeAllRanges();
    $("spoken").textContent = words;
    this.on.hint("");
    this.lay();
    this.paint();
    this.on.changed();
  }

  // What is shown ---------------------------------------------------------------------------------------------------

  colour(label) {
    return Math.max(0, this.types.indexOf(label)) % COLOURS;
  }

  lay() {
    const rows = this.spans.map((span, at) => {
      const row = made("li", "");
      const button = made("button", `span colour-${this.colour(span.label)}`, "", {
        type: "button",
        title: "Take this label away",
      });
      button.dataset.at = String(at);
      const quote = made("bdi", "quote");
      putText(quote, span.text);
      const name = made("bdi", "name");
      putName(name, span.label);
      button.append(quote, " ", name, made("span", "away", "×", { "aria-hidden": "true" }));
      row.append(button);
      return row;
    });
    this.list.replaceChildren(...rows);
    $("no-spans").hidden = rows.length > 0;
  }

  paint() {
    if (globalThis.CSS?.highlights === undefined || !this.units) return;
    const places = this.places();
    const groups = Array.from({ length: COLOURS }, () => []);
    for (const span of this.spans) {
      if (span.end >= this.units.length) continue; // in the part that is not shown
      const range = this.range(this.units[span.start], this.units[span.end], places);
      if (range) groups[this.colour(span.label)].push(range);
    }
    const cursor = this.cursor && this.range(...this.cursor, places);
    for (const [name, ranges] of [...groups.map((found, k) => [`span-${k}`, found]), [CURSOR, cursor ? [cursor] : []]]) {
      if (ranges.length > 0) CSS.highlights.set(name, new Highlight(...ranges));
      else CSS.highlights.delete(name);
    }
    if (CSS.highlights.has(CURSOR)) CSS.highlights.get(CURSOR).priority = 1;
  }

  // What the page asks ----------------------------------------------------------------------------------------------

  size() {
    return this.spans.length;
  }

  value() {
    return JSON.stringify(this.spans);
  }

  said() {
    return this.spans.map((span) => `${span.text} (${span.label})`).join(", ") || "nothing marked";
  }

  /** A key pressed outside of any field. True where it was ours. */
  key(event) {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      this.step(event.key === "ArrowRight" ? 1 : -1, event.shiftKey);
      return true;
    }
    if ((event.key === "Backspace" || event.key === "Delete") && this.cursor !== null) {
      const [start, end] = this.cursor.map((unit) => this.points.get(unit));
      const at = this.spans.findIndex((span) => span.start < end && start < span.end);
      if (at >= 0) this.remove(at);
      return true;
    }
    if (event.key === "Escape" && this.cursor !== null) {
      this.cursor = null;
      document.getSelection()?.removeAllRanges();
      this.paint();
      return true;
    }
    return this.labels.key(event);
  }

  filterKey(event) {
    return this.labels.filterKey(event);
  }
}
