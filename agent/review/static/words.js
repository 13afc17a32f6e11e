// The guideline's own words (in `code` or **bold**) are marked in the text. The text stays as it is: only ranges of it
// are painted, with the CSS Custom Highlight API, and a browser without it marks nothing.

const $ = (id) => document.getElementById(id);
const NAME = "guideline";
const MOST = 2000; // marks in one text
const LONGEST = 80; // a bold sentence is no word to look for

export class Words {
  constructor() {
    this.on = true;
    const marked = [...document.querySelectorAll(".prose :is(code, strong)")].map((e) => e.textContent.trim());
    const words = [...new Set(marked)].filter((word) => word && word.length <= LONGEST);
    this.pattern = words.length === 0 ? null : pattern(words);
  }

  get canMark() {
    return this.pattern !== null && globalThis.CSS?.highlights !== undefined;
  }

  toggle() {
    if (!this.canMark) return;
    this.on = !this.on;
    this.mark();
    $("spoken").textContent = this.on ? "The guideline's words are marked." : "The guideline's words are not marked.";
  }

  /** Mark what is on the screen now. */
  mark() {
    if (!this.canMark) return;
    const ranges = this.on ? [...this.found($("text"))] : [];
    if (ranges.length > 0) CSS.highlights.set(NAME, new Highlight(...ranges));
    else CSS.highlights.delete(NAME);
  }

  *found(box) {
    const nodes = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
    for (let count = 0, node = nodes.nextNode(); node !== null; node = nodes.nextNode()) {
      for (const hit of node.data.matchAll(this.pattern)) {
        if (count++ >= MOST) return;
        const range = document.createRange();
        range.setStart(node, hit.index);
        range.setEnd(node, hit.index + hit[0].length);
        yield range;
      }
    }
  }
}

/** Whole words, whatever their case, the longest first; any white space between two. */
function pattern(words) {
  const literal = (word) => word.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&").replace(/\s+/g, "\\s+");
  const bounded = (word) => {
    const before = /^[\p{L}\p{N}]/u.test(word) ? "(?<![\\p{L}\\p{N}])" : "";
    const after = /[\p{L}\p{N}]$/u.test(word) ? "(?![\\p{L}\\p{N}])" : "";
    return `${before}${literal(word)}${after}`;
  };
  const longest = [...words].sort((a, b) => b.length - a.length);
  return new RegExp(longest.map(bounded).join("|"), "giu");
}
