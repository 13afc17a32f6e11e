// What the page says beside the item: what was done last, what is wrong, what was not saved.

import { named, putText } from "./card.js";

const $ = (id) => document.getElementById(id);
const opening = (item) => named((item.parts?.[0] ?? item).text.trim().slice(0, 60), "q");

/** What was given in an act, in words. */
export function given({ path, body, said }) {
  if (said !== undefined) return said;
  if (path === "/api/skip") return body.note === undefined ? "skipped" : "flagged";
  return Array.isArray(body.value) ? body.value.join(", ") || "no label" : body.value;
}

export function sayLast(going) {
  $("last").replaceChildren("Before this: ", named(given(going)), " ", opening(going.item));
  $("spoken").textContent = `${given(going)}.`;
}

export function sayUndone(words) {
  putText($("last"), words);
  $("spoken").textContent = words;
}

/** Why this item cannot be saved as it is; null takes the words away. */
export function complain(refusal) {
  $("problem").hidden = refusal === null;
  if (refusal !== null) putText($("problem"), refusal.message);
}

/** Something that the server did not take and that is not on the screen any more. It stays until it is dismissed. */
export function notice(going, message) {
  const line = document.createElement("li");
  const words = document.createElement("p");
  words.append(opening(going.item), " ", named(message, "span"), " Yours, not saved: ", named(given(going)), ".");
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Dismiss";
  close.addEventListener("click", () => line.remove());
  line.append(words, close);
  $("notices").append(line);
}

/** The server cannot be had, `kept` answers wait; null: it can again. */
export function showTrouble(refusal, kept) {
  $("trouble").hidden = refusal === null;
  if (refusal === null) return;
  const answers = kept === 1 ? "1 answer is" : `${kept} answers are`;
  const waits = kept > 0 ? ` ${answers} kept on this page and sent when it can be.` : "";
  putText($("trouble-words"), `${refusal.message}${waits}`);
}
