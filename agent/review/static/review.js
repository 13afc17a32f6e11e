// The review page: one item at a time from a few fetched ahead, answers through the outbox, keys for everything.

import { Card, named, putText } from "./card.js";
import { Clock, figures } from "./figures.js";
import { Entry } from "./entry.js";
import { Labels } from "./labels.js";
import { Outbox, Refusal, Wire } from "./wire.js";

const $ = (id) => document.getElementById(id);
const settings = JSON.parse($("settings").textContent);
const ENOUGH_AHEAD = 4;
const FETCH = 8;
const LOOK_AGAIN_MS = 5000;

const wire = new Wire(settings);
const outbox = new Outbox(wire, { saved, refused, trouble });
const card = new Card(wire, complain);
const clock = new Clock();
const answer =
  settings.widget === "json" ? new Entry() : new Labels(settings, { pick: save, accept, changed: sayAccept, isBusy: () => inLine > 0 });

let ahead = []; // what is to come; ahead[0] is on the screen
let shown = null; // the item on the screen
let again = false; // going through what was skipped
let filling = null; // the fetch under way
let dry = false; // the last fetch brought nothing
let waiting = false; // a JSON answer is being checked
let noneMeant = false; // Enter was pressed once on an empty set of labels
let line = Promise.resolve(); // undo asks the server first; what is pressed meanwhile waits for it, in order
let inLine = 0;
const handled = new Set(); // ids answered or skipped here, which a late fetch may still hold

// Items -----------------------------------------------------------------------------------------------------------

function fill() {
  filling ??= fetchAhead().finally(() => {
    filling = null;
  });
  return filling;
}

async function fetchAhead() {
  const passed = again ? handled.size : 0; // what was skipped twice still stands in the queue
  const writes = wire.writes;
  let got;
  try {
    got = await wire.items(FETCH + outbox.size + passed, again);
  } catch (refusal) {
    trouble(refusal);
    setTimeout(next, LOOK_AGAIN_MS);
    return;
  }
  if (!outbox.inTrouble) trouble(null);
  const have = new Set(ahead.map((item) => item.id));
  const fresh = got.items.filter((item) => !have.has(item.id) && !handled.has(item.id));
  ahead.push(...fresh);
  dry = fresh.length === 0;
  if (writes === wire.writes) figures.heard(got.figures, outbox.acts);
  next();
}

/** Show ahead[0]. `was` is what had been given before an undo, `problem` why the item is back. */
function next(was = null, problem = "") {
  if (ahead.length < ENOUGH_AHEAD && filling === null && !(dry && shown === null && !ahead.length)) fill();
  const item = ahead[0] ?? null;
  if (item !== null && item === shown) return;
  shown = item;
  noneMeant = false;
  complain(problem ? new Refusal(0, problem) : null);
  $("desk").classList.toggle("empty", item === null);
  if (item === null) {
    finish();
    return;
  }
  $("finished").hidden = true;
  answer.show(item, was);
  card.show(item);
  clock.start();
  if (document.activeElement !== $("filter")) $("reading").focus({ preventScroll: true });
  window.scrollTo({ top: 0 });
  sayAccept();
}

/** Nothing to show: say so, once it is sure. */
function finish() {
  const { done, skipped } = figures;
  const first = $("finished").hidden;
  $("finished").hidden = !dry;
  $("finished-title").textContent = done > 0 ? "Nothing left to review" : "Nothing waits for review";
  $("finished-words").textContent =
    skipped > 0
      ? `${skipped} skipped ${skipped === 1 ? "text is" : "texts are"} still open.`
      : done > 0
        ? "Run the job again and your labels count in its next round. New texts appear here by themselves."
        : "Texts that the machine is not sure of appear here by themselves while a job runs.";
  $("again").hidden = skipped === 0;
  $("finished-undo").hidden = figures.newest === null;
  if (first && dry) $("finished-title").focus({ preventScroll: true });
}

setInterval(() => {
  if (shown !== null || outbox.size > 0 || document.visibilityState !== "visible") return;
  if (!again) handled.clear(); // another may have undone something
  fill();
}, LOOK_AGAIN_MS);

async function goThroughSkipped() {
  await filling;
  again = true;
  handled.clear();
  fill();
}

// Answers ---------------------------------------------------------------------------------------------------------

const asList = (value) => (value === null || value === undefined ? null : [value].flat());

/** What was given in an act, in words. */
function given({ path, body }) {
  if (path === "/api/skip") return "skipped";
  return Array.isArray(body.value) ? body.value.join(", ") || "no label" : body.value;
}

function save(value) {
  if (shown !== null && !waiting) act("/api/label", { value });
}

function skip() {
  if (shown !== null && !waiting) act("/api/skip", {});
}

function act(path, what) {
  const item = shown;
  const body = { id: item.id, seconds: clock.lap(), ...what };
  handled.add(item.id);
  const going = { path, body, item, keep: settings.widget === "json" && path === "/api/label" };
  waiting = going.keep; // the task on the server has to read it first
  if (!going.keep) leave(going);
  outbox.add(going);
  figures.waiting(outbox.acts);
}

/** Go on to the next item; say what was done with this one. */
function leave(going) {
  figures.lapped(going.body.seconds);
  ahead.shift();
  sayLast(going);
  next();
}

function sayLast(going) {
  const text = going.item.text.trim().slice(0, 60);
  $("last").replaceChildren("Before this: ", named(given(going)), " ", named(text, "q"));
  $("spoken").textContent = `${given(going)}.`;
}

function sayUndone(words) {
  putText($("last"), words);
  $("spoken").textContent = words;
}

/** Enter: take the suggestion, or save what is on. */
function accept() {
  if (shown === null) return;
  if (settings.widget === "choice") {
    if (shown.suggestion) save(shown.suggestion.value);
    return;
  }
  const value = answer.value();
  const suggestedNone = settings.widget === "multiple" && shown.suggestion?.value.length === 0;
  if (settings.widget === "multiple" && value.length === 0 && !suggestedNone && !noneMeant) {
    noneMeant = true;
    sayAccept();
    return;
  }
  save(value);
}

function sayAccept() {
  const button = $("accept");
  const words = $("accept-words");
  if (settings.widget === "choice") {
    button.hidden = shown === null || !shown.suggestion;
    if (!button.hidden) words.replaceChildren("Accept ", named(shown.suggestion.shown));
    return;
  }
  button.hidden = false;
  if (settings.widget === "json") {
    words.textContent = "Save";
    $("accept-key").textContent = "Ctrl ↵";
    return;
  }
  const size = answer.value().length;
  if (size > 0) noneMeant = false;
  words.textContent = noneMeant ? "Really none? Save" : size === 0 ? "None applies" : `Save ${size} label${size === 1 ? "" : "s"}`;
}

function saved(going, reply) {
  if (going.keep) {
    waiting = false;
    leave(going);
  }
  figures.heard(reply.figures, outbox.acts);
  if (shown === null) fill();
}

/** The server did not take it: nobody's answer is lost, the item comes back or the reason is shown. */
function refused(going, refusal) {
  figures.heard(refusal.figures, outbox.acts);
  if (refusal.status === 409) {
    waiting = false;
    if (going.keep) leave(going);
    notice(going, refusal.message);
    return;
  }
  waiting = false;
  restore(going.item, asList(going.body.value), refusal.message);
}

function notice(going, message) {
  const line = document.createElement("li");
  const words = document.createElement("p");
  const text = named(going.item.text.trim().slice(0, 60), "q");
  words.append(text, " ", named(message, "span"), " Yours, not saved: ", named(given(going)), ".");
  const close = document.createElement("button");
  close.type = "button";
  close.textContent = "Dismiss";
  close.addEventListener("click", () => line.remove());
  line.append(words, close);
  $("notices").append(line);
}

function restore(item, was, problem = "") {
  handled.delete(item.id);
  ahead = [item, ...ahead.filter((other) => other.id !== item.id)];
  shown = null; // show it even where it is on the screen already
  next(was, problem);
}

// Undo ------------------------------------------------------------------------------------------------------------

function standInLine(does) {
  inLine += 1;
  line = line.then(does).finally(() => {
    inLine -= 1;
  });
}

async function undo() {
  if (waiting) return;
  const unsent = outbox.takeBack();
  if (unsent) {
    figures.waiting(outbox.acts);
    sayUndone(`Undone: ${given(unsent)}.`);
    restore(unsent.item, asList(unsent.body.value));
    return;
  }
  if (outbox.size > 0 && outbox.inTrouble) {
    complain(new Refusal(0, "Undo waits until the server answers again."));
    return;
  }
  await outbox.idle();
  let reply;
  try {
    reply = await wire.send("/api/undo", { newest: figures.newest });
  } catch (refusal) {
    figures.heard(refusal.figures, outbox.acts);
    complain(new Refusal(refusal.status, `Undo: ${refusal.message}`));
    return;
  }
  complain(null);
  figures.heard(reply.figures, outbox.acts);
  sayUndone(reply.said);
  if (reply.item) restore(reply.item, asList(reply.was));
}

// Trouble ---------------------------------------------------------------------------------------------------------

/** The server cannot be had (or can again, null): what waits stays here and is sent when it is back. */
function trouble(refusal) {
  const box = $("trouble");
  box.hidden = refusal === null;
  if (refusal === null) return;
  const kept = outbox.size;
  const waits = kept === 0 ? "" : ` ${kept} ${kept === 1 ? "answer is" : "answers are"} kept on this page and sent when it can be.`;
  putText($("trouble-words"), `${refusal.message}${waits}`);
}

function tryAgain() {
  outbox.tryNow();
  next();
}

function complain(refusal) {
  $("problem").hidden = refusal === null;
  if (refusal !== null) putText($("problem"), refusal.message);
}

window.addEventListener("beforeunload", (event) => {
  if (outbox.size > 0) event.preventDefault(); // answers that are not saved yet would be lost
});

// Keys and buttons ------------------------------------------------------------------------------------------------

const SHORTCUTS = {
  s: skip,
  u: undo,
  f: () => card.toggle(),
  g: () => $("guide")?.toggleAttribute("open"),
  "?": () => $("keys").showModal(),
  r: () => !$("again").hidden && !$("finished").hidden && goThroughSkipped(),
};

function onKey(event) {
  if (event.isComposing) return;
  if ($("keys").open) {
    if (event.key === "?") $("keys").close();
    return;
  }
  const field = event.target.closest?.("input, textarea");
  if (event.ctrlKey || event.metaKey) {
    onControl(event, field);
    return;
  }
  if (event.altKey) return;
  if (field) {
    onFieldKey(event, field);
    return;
  }
  if ((event.key === "Enter" || event.key === " ") && event.target.closest?.("button, a, summary")) return;
  if (event.key === "u" || inLine > 0) {
    event.preventDefault();
    standInLine(() => onPlainKey(event));
  } else if (onPlainKey(event)) {
    event.preventDefault();
  }
}

function onPlainKey(event) {
  if (SHORTCUTS[event.key]) {
    return event.repeat && event.key !== "u" ? true : (SHORTCUTS[event.key]() ?? true);
  }
  if (shown === null) return false;
  if (event.key === "Enter") {
    if (!event.repeat) accept();
    return true;
  }
  return answer.key(event);
}

function onControl(event, field) {
  const key = event.key.toLowerCase();
  if (key === "z" && !event.shiftKey && !event.altKey && !field?.value) {
    event.preventDefault();
    standInLine(undo);
  } else if (event.key === "Enter" && settings.widget !== "choice") {
    event.preventDefault();
    if (!event.repeat) accept();
  }
}

function onFieldKey(event, field) {
  if (field === answer.filter) {
    if (inLine > 0) event.preventDefault(); // another item is about to come
    else if (answer.filterKey(event)) event.preventDefault();
  } else if (event.key === "Escape") {
    $("reading").focus({ preventScroll: true });
  }
}

document.addEventListener("keydown", onKey);
for (const [id, does] of Object.entries({
  accept,
  skip,
  undo: () => standInLine(undo),
  "finished-undo": () => standInLine(undo),
  again: goThroughSkipped,
  help: SHORTCUTS["?"],
  retry: tryAgain,
})) {
  $(id).addEventListener("click", () => (inLine === 0 || does !== accept) && does());
}
if (window.matchMedia("(max-width: 72rem)").matches) $("guide")?.removeAttribute("open");

fill();
